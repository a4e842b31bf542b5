//! One source file: its place in the house, and the paths it names.

use super::HOUSE;
use super::tokens::tokens;

/// One file of ours.
pub struct Source {
    /// From the root of the repository.
    pub path: String,
    /// As it stands.
    pub text: String,
    /// All of it.
    pub tokens: Vec<String>,
    /// What is outside `#[cfg(test)]`.
    pub product: Vec<String>,
    /// Files that are modules of this one only in tests.
    pub test_modules: Vec<String>,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        let tokens = tokens(text);
        let (product, names) = without_tests(&tokens);
        let folder = match path.strip_suffix(".rs").unwrap_or(path) {
            "src/lib" | "src/main" => "src",
            module => module,
        };
        let file = |name: &String| format!("{folder}/{name}.rs");
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            test_modules: names.iter().map(file).collect(),
            tokens,
            product,
        }
    }

    /// Its place below `src`, without the ending: `job/verify`.
    pub fn module(&self) -> &str {
        let below = self.path.strip_prefix("src/").unwrap_or(&self.path);
        below.strip_suffix(".rs").unwrap_or(below)
    }

    /// The module of the top level it belongs to.
    pub fn top(&self) -> &str {
        self.module().split('/').next().unwrap_or_default()
    }

    /// Whether it is one of these modules or lies below one.
    pub fn is_in(&self, module: &str) -> bool {
        let rest = self.module().strip_prefix(module);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// What it knows though the table does not let it.
    pub fn forbidden_edges(&self) -> Vec<String> {
        let known = HOUSE.iter().find(|(module, _)| *module == self.top());
        let known = known.map_or("", |(_, known)| known);
        let is_allowed = |path: &[String]| {
            let goes = |edge: &str| {
                let mut parts = edge.split("::").enumerate();
                parts.all(|(at, part)| path.get(at).is_some_and(|name| name == part))
            };
            path.iter().take(1).eq([self.top()]) || known.split(' ').any(goes)
        };
        let paths = self.paths().into_iter();
        let forbidden = paths.filter(|path| !is_allowed(path));
        forbidden
            .map(|path| format!("{} knows {}", self.path, path.join("::")))
            .collect()
    }

    /// Every path from the crate's root outside tests, groups spelled out.
    pub fn paths(&self) -> Vec<Vec<String>> {
        let tokens = &self.product;
        let depth = self.module().split('/').count();
        let mut found = Vec::new();
        for at in (0..tokens.len()).filter(|at| is_begin(tokens, *at)) {
            let from = match word(tokens, at) {
                "crate" | "stackwarden" if word(tokens, at + 1) == "::" => Some(at + 2),
                "super" => climb(tokens, at, depth),
                _ => None,
            };
            if let Some(from) = from {
                read_tree(tokens, from, &[], &mut found);
            }
        }
        found
    }

    /// Whether a path outside tests begins with this library.
    pub fn knows_library(&self, library: &str) -> bool {
        let tokens = &self.product;
        let is_path = |at| word(tokens, at) == library && word(tokens, at + 1) == "::";
        (0..tokens.len()).any(|at| is_path(at) && is_begin(tokens, at))
    }

    /// Whether these tokens follow each other anywhere.
    pub fn has(&self, wanted: &[&str]) -> bool {
        let mut windows = self.tokens.windows(wanted.len());
        windows.any(|window| window.iter().eq(wanted))
    }
}

fn is_begin(tokens: &[String], at: usize) -> bool {
    at == 0 || word(tokens, at - 1) != "::"
}

fn word(tokens: &[String], at: usize) -> &str {
    tokens.get(at).map_or("", String::as_str)
}

/// Where the path goes on when enough `super::` lead to the crate's root.
fn climb(tokens: &[String], mut at: usize, depth: usize) -> Option<usize> {
    let mut climbed = 0;
    while word(tokens, at) == "super" && word(tokens, at + 1) == "::" {
        (climbed, at) = (climbed + 1, at + 2);
    }
    (climbed == depth).then_some(at)
}

/// Reads one use tree or path; gives the place behind it.
fn read_tree(
    tokens: &[String],
    mut at: usize,
    prefix: &[String],
    found: &mut Vec<Vec<String>>,
) -> usize {
    let mut path = prefix.to_vec();
    loop {
        match word(tokens, at) {
            "{" => {
                at += 1;
                while !matches!(word(tokens, at), "}" | "") {
                    let behind = read_tree(tokens, at, &path, found);
                    at = behind.max(at + 1);
                }
                return at + 1;
            }
            name if name
                .starts_with(|first: char| first.is_alphabetic() || "_*".contains(first)) =>
            {
                path.push(name.to_owned());
                match word(tokens, at + 1) {
                    "::" => at += 2,
                    end => {
                        found.push(path);
                        return at + if end == "as" { 3 } else { 1 };
                    }
                }
            }
            _ => {
                found.extend((path.len() > prefix.len()).then_some(path));
                return at;
            }
        }
    }
}

/// Leaves out items under `#[cfg(test)]`; gives the names of those that are modules in files of their own too.
fn without_tests(tokens: &[String]) -> (Vec<String>, Vec<String>) {
    let mark = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut kept, mut modules, mut at) = (Vec::new(), Vec::new(), 0);
    while at < tokens.len() {
        if !tokens.iter().skip(at).take(mark.len()).eq(&mark) {
            kept.extend(tokens.get(at).cloned());
            at += 1;
            continue;
        }
        at += mark.len();
        let begin = at;
        let mut open = 0_usize;
        loop {
            match word(tokens, at) {
                "{" => open += 1,
                "}" => open = open.saturating_sub(1),
                _ => {}
            }
            let is_over = matches!(word(tokens, at), ";" | "}") && open == 0;
            at += 1;
            if is_over || at >= tokens.len() {
                break;
            }
        }
        if word(tokens, at - 1) == ";"
            && word(tokens, at.saturating_sub(3)) == "mod"
            && at >= begin + 3
        {
            modules.push(word(tokens, at - 2).to_owned());
        }
    }
    (kept, modules)
}
