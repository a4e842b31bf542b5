//! The reference page of the labels.

use super::Standing;
use super::table::{LABELS, LabelSpec};

const HEAD: &str = "\
# Labels

<!-- Generated from the table in src/domain/label/table.rs; a test compares both. -->

Labels of a service in the compose file tell stackwarden what differs from its defaults. The vocabulary is closed: an unknown
key, a value in quotation marks of its own or a value that cannot be read is shown as a problem with a hint, in `status`, on
the page and in the metric `stackwarden_config_errors`; everything else keeps working. A mistake in a label of a backup
never switches backups off: the default holds. A mistake that could run a migration wrongly (`stackwarden.migrate`,
`.after`, `.entrypoint`, `.database`, or a key that looks like one of these) makes the gate keep the service down.

Write them as a map (`stackwarden.backup: \"true\"`) or as a list (`- stackwarden.backup=true`); in a list, quotation marks
inside the item become part of the value.

A changed label makes Compose recreate the container. To change the schedule or the retention without touching the
database, use the [variables](variables.md) of the sidecar.
";

/// `docs/reference/labels.md`.
pub fn labels_page() -> String {
    let (now, later): (Vec<&LabelSpec>, Vec<&LabelSpec>) = LABELS
        .iter()
        .partition(|spec| spec.standing == Standing::InEffect);
    format!(
        "{HEAD}\n## In effect\n\n{}\n## Known, without effect in this version\n\nUsing one is shown as a problem and changes nothing.\n\n{}",
        rows(&now),
        rows(&later)
    )
}

fn rows(specs: &[&LabelSpec]) -> String {
    let mut text =
        String::from("| label | on | value | default | meaning |\n|---|---|---|---|---|\n");
    for spec in specs {
        let label = format!("`{}`", spec.key);
        let cells = [
            label.as_str(),
            spec.on.as_str(),
            spec.grammar,
            spec.default,
            spec.meaning,
        ];
        text.extend(["| ", &cells.join(" | "), " |\n"]);
    }
    text
}
