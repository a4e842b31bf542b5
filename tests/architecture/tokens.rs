//! Rust text as tokens, as far as these rules need it.

/// Words, `::` and single signs; comments vanish, literals become `""`.
pub fn tokens(text: &str) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    let letter = |at: usize| letters.get(at).copied().unwrap_or('\0');
    let find = |from: usize, is_end: &dyn Fn(usize) -> bool| {
        (from..letters.len())
            .find(|at| is_end(*at))
            .unwrap_or(letters.len())
    };
    let (mut found, mut at) = (Vec::new(), 0);
    while at < letters.len() {
        let raw = usize::from(letter(at) == 'b')
            + usize::from(letter(at + usize::from(letter(at) == 'b')) == 'r');
        let hashes = find(at + raw, &|at| letter(at) != '#') - (at + raw);
        let in_word = at > 0 && is_in_word(letter(at - 1));
        at = match (letter(at), letter(at + 1)) {
            ('/', '/') => find(at, &|at| letter(at) == '\n'),
            ('/', '*') => find(at, &|at| letter(at) == '*' && letter(at + 1) == '/') + 2,
            ('b' | 'r', _)
                if !in_word && letter(at + raw - 1) == 'r' && letter(at + raw + hashes) == '"' =>
            {
                found.push("\"\"".to_owned());
                let closes = |end: usize| {
                    letter(end) == '"' && (1..=hashes).all(|more| letter(end + more) == '#')
                };
                find(at + raw + hashes + 1, &closes) + 1 + hashes
            }
            ('"', _) => {
                found.push("\"\"".to_owned());
                // A quote counts behind an even number of backslashes only.
                let escapes = |end: usize| {
                    (at..end)
                        .rev()
                        .take_while(|back| letter(*back) == '\\')
                        .count()
                };
                find(at + 1, &|end| letter(end) == '"' && escapes(end) % 2 == 0) + 1
            }
            ('\'', '\\') => find(at + 3, &|at| letter(at) == '\'') + 1,
            ('\'', _) if letter(at + 2) == '\'' => at + 3,
            (':', ':') => {
                found.push("::".to_owned());
                at + 2
            }
            (first, _) if is_in_word(first) => {
                let end = find(at, &|at| !is_in_word(letter(at)));
                found.push(letters.iter().skip(at).take(end - at).collect());
                end
            }
            (sign, _) => {
                found.extend((!sign.is_whitespace()).then(|| sign.to_string()));
                at + 1
            }
        };
    }
    found
}

pub fn is_in_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}
