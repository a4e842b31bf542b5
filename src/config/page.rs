//! The reference page of the variables.

use super::table::{DefaultValue, Secrecy, VARIABLES, VariableSpec};
use crate::domain::label::Standing;

const HEAD: &str = "\
# Variables

<!-- Generated from the table in src/config/table.rs; a test compares both. -->

Variables of the sidecar and of the gate. An empty value counts as absent. A name that begins with `STACKWARDEN_` and is not
in this list is an error with a hint, as is a value that cannot be read; all mistakes are shown at once and commands exit
with code 2. Each secret may also come from a file: `NAME_FILE` holds its path, a newline at the end of the file is cut.
`stackwarden config` prints the effective settings and where each comes from; secrets are shown as `***`.
";

/// `docs/reference/variables.md`.
pub fn variables_page() -> String {
    let (now, later): (Vec<&VariableSpec>, Vec<&VariableSpec>) = VARIABLES
        .iter()
        .partition(|spec| spec.standing == Standing::InEffect);
    let mut text = format!(
        "{HEAD}\n## In effect\n\n| variable | value | default | meaning |\n|---|---|---|---|\n"
    );
    for spec in now {
        let default = match spec.default {
            DefaultValue::Text(value) => format!("`{value}`"),
            DefaultValue::Words(words) => words.to_owned(),
        };
        let cells = [names(spec).as_str(), spec.grammar, &default, spec.meaning].join(" | ");
        text.extend(["| ", &cells, " |\n"]);
    }
    text.push_str(
        "\n## Known, without effect in this version\n\nUsing one is said at start and changes nothing.\n\n\
         | variable | meaning |\n|---|---|\n",
    );
    for spec in later {
        text.extend(["| ", &names(spec), " | ", spec.meaning, " |\n"]);
    }
    text
}

fn names(spec: &VariableSpec) -> String {
    match spec.secrecy {
        Secrecy::Open => format!("`{}`", spec.name),
        Secrecy::Secret => format!("`{}` (`_FILE`)", spec.name),
    }
}
