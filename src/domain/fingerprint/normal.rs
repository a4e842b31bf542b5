//! The normal form of SQL in which a schema and its restored copy read the same.
//!
//! One restore changes where the server prints casts and parentheses (`status IN ('a','b')` on a varchar is
//! the usual case), so both are dropped, blanks and comments too. Nothing inside quotes is touched.

use super::lexer::{Token, tokens};

/// Words that may follow the first word of a type's name.
const TYPE_TAILS: &[(&str, &[&str])] = &[
    ("character", &["varying"]),
    ("bit", &["varying"]),
    ("double", &["precision"]),
    ("timestamp", &["without", "with", "time", "zone"]),
    ("time", &["without", "with", "time", "zone"]),
    (
        "interval",
        &["year", "month", "day", "hour", "minute", "second", "to"],
    ),
];

/// SQL without casts, parentheses, blanks and comments. Words stay apart by one blank.
pub fn normal_form(sql: &str) -> String {
    let all: Vec<Token<'_>> = tokens(sql)
        .filter(|token| !matches!(token, Token::Comment(_)))
        .collect();
    let mut rest = all.as_slice();
    let mut text = String::with_capacity(sql.len());
    let mut after_word = false;
    while let Some((token, tail)) = rest.split_first() {
        rest = match (token, tail) {
            (Token::Symbol(":"), [Token::Symbol(":"), of_type @ ..]) => skip_type(of_type),
            _ => tail,
        };
        let is_word = matches!(
            token,
            Token::Word(_) | Token::QuotedName(_) | Token::Literal(_)
        );
        match token {
            Token::Symbol("(" | ")") | Token::Blank(_) | Token::Newline(_) => continue,
            Token::Symbol(":") if rest.len() < tail.len() => continue,
            _ => {}
        }
        if is_word && after_word {
            text.push(' ');
        }
        text.push_str(token.text());
        after_word = is_word;
    }
    text
}

/// What follows a type's name, its modifiers and its `[]`.
fn skip_type<'s, 'a>(tokens: &'s [Token<'a>]) -> &'s [Token<'a>] {
    let Some((first, mut rest)) = tokens.split_first() else {
        return tokens;
    };
    while let [
        Token::Symbol("."),
        Token::Word(_) | Token::QuotedName(_),
        tail @ ..,
    ] = rest
    {
        rest = tail;
    }
    let tails = TYPE_TAILS
        .iter()
        .find(|(name, _)| *first == Token::Word(name))
        .map_or(&[] as &[&str], |(_, tails)| tails);
    rest = skip_words(rest, tails);
    if let [Token::Symbol("("), tail @ ..] = rest {
        let end = tail.iter().position(|token| *token == Token::Symbol(")"));
        rest = end.and_then(|at| tail.get(at + 1..)).unwrap_or(tail);
        rest = skip_words(rest, tails);
    }
    while let [Token::Symbol("["), Token::Symbol("]"), tail @ ..] = rest {
        rest = tail;
    }
    rest
}

fn skip_words<'s, 'a>(mut rest: &'s [Token<'a>], words: &[&str]) -> &'s [Token<'a>] {
    while let [Token::Blank(_), Token::Word(word), tail @ ..] = rest {
        if !words.contains(word) {
            break;
        }
        rest = tail;
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_on_a_varchar_reads_the_same_before_and_after_a_restore() {
        let before = "CHECK (((status)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[])))";
        let after = "CHECK (((status)::text = ANY (ARRAY[('a'::character varying)::text, ('b'::character varying)::text])))";
        assert_eq!(normal_form(before), normal_form(after));
        assert_ne!(
            normal_form(before),
            normal_form(&before.replace("'b'", "'c'"))
        );
    }

    #[test]
    fn whole_type_names_go_and_what_follows_stays() {
        for (sql, left) in [
            ("a::double precision + 1", "a+1"),
            ("a::timestamp(3) without time zone < b", "a<b"),
            ("a::numeric(10,2)[] || b", "a||b"),
            ("a::public.\"My Type\"[][] AND b", "a AND b"),
            ("a::interval day to second(3) OR b", "a OR b"),
            ("(a::bit varying(3))[1]", "a[1]"),
            (
                "a::timestamp with time zone AT TIME ZONE 'x'::text",
                "a AT TIME ZONE 'x'",
            ),
            ("x::text COLLATE \"C\"", "x COLLATE \"C\""),
        ] {
            assert_eq!(normal_form(sql), left, "{sql}");
        }
    }

    #[test]
    fn texts_are_kept_to_the_letter() {
        assert_ne!(normal_form("DEFAULT 'a b'"), normal_form("DEFAULT 'ab'"));
        assert_ne!(normal_form("$$ (a::int) $$"), normal_form("$$ a $$"));
        assert_ne!(normal_form("DROP TABLE a"), normal_form("DROP TABLEa"));
    }
}
