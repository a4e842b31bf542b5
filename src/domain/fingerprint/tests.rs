use super::*;

/// An entry as `pg_dump` writes it.
fn entry(name: &str, kind: &str, schema: &str, body: &str) -> String {
    format!("--\n-- Name: {name}; Type: {kind}; Schema: {schema}; Owner: app\n--\n\n{body}\n\n\n")
}

fn normalised(text: &str) -> String {
    let mut normal = String::new();
    SchemaText::parse(text).normalised(|piece| normal.push_str(piece));
    normal
}

fn lines_of(differences: &[Difference]) -> Vec<String> {
    differences.iter().map(ToString::to_string).collect()
}

fn compare_texts(expected: &str, found: &str) -> Vec<String> {
    lines_of(&compare(
        &SchemaText::parse(expected),
        &SchemaText::parse(found),
    ))
}

const TABLE: &str = "CREATE TABLE public.t (\n    id integer NOT NULL,\n    name text DEFAULT 'a;b'::text\n);\n\n\nALTER TABLE public.t OWNER TO app;";

#[test]
fn order_comments_versions_and_restrict_lines_are_no_difference() {
    let (one, two) = (
        entry("t", "TABLE", "public", TABLE),
        entry(
            "i",
            "INDEX",
            "public",
            "CREATE INDEX i ON public.t USING btree (id);",
        ),
    );
    let expected = format!(
        "--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\n\n-- Dumped by pg_dump version 17.1\n\nSET x = 1;\n\n{one}{two}--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict abc\n"
    );
    let found = format!(
        "--\n-- PostgreSQL database dump\n--\n\n\\restrict xyz\n\n-- Dumped by pg_dump version 17.2\n\n{two}{one}--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict xyz\n"
    );
    assert_eq!(compare_texts(&expected, &found), [""; 0]);
    assert_eq!(normalised(&expected), normalised(&found));
}

#[test]
fn missing_extra_and_changed_objects_are_named() {
    let expected = entry("t", "TABLE", "public", TABLE)
        + &entry(
            "i",
            "INDEX",
            "public",
            "CREATE INDEX i ON public.t USING btree (id);",
        );
    let found = entry("t", "TABLE", "public", &TABLE.replace("NOT NULL", ""))
        + &entry(
            "TABLE t",
            "ACL",
            "public",
            "GRANT SELECT ON TABLE public.t TO app;",
        );
    assert_eq!(
        compare_texts(&expected, &found),
        [
            "schema ACL public.TABLE t: is in the restored copy but was not in the dump",
            "schema INDEX public.i: is missing in the restored copy",
            "schema TABLE public.t: is defined otherwise in the restored copy: expected \"id integer NOT NULL\", found \"id integer\"",
        ]
    );
}

#[test]
fn columns_of_a_child_may_change_places_and_those_of_a_table_may_not() {
    let child = |columns: &str| {
        let body = format!("CREATE TABLE public.c (\n{columns}\n)\nINHERITS (public.p);");
        entry("c", "TABLE", "public", &body)
    };
    let (one, two) = ("    a integer,\n    b text", "    b text,\n    a integer");
    assert_eq!(compare_texts(&child(one), &child(two)), [""; 0]);
    let table = |columns: &str| {
        entry(
            "t",
            "TABLE",
            "public",
            &format!("CREATE TABLE public.t (\n{columns}\n);"),
        )
    };
    assert_eq!(compare_texts(&table(one), &table(two)).len(), 1);
}

#[test]
fn default_settings_before_another_entry_are_no_difference_and_an_access_method_is() {
    let table = entry("t", "TABLE", "public", TABLE);
    let view = entry("v", "VIEW", "public", "CREATE VIEW public.v AS\n SELECT 1;");
    let heap = "SET default_tablespace = fast;\n\nSET default_table_access_method = heap;\n\n";
    let expected = format!("{view}{heap}{table}");
    let function = entry("f()", "FUNCTION", "public", "CREATE FUNCTION public.f()");
    let found = format!("{function}{heap}{table}{view}");
    let differences = compare_texts(&format!("{function}{expected}"), &found);
    assert_eq!(differences, [""; 0]);
    let columnar = found.replace("= heap", "= columnar");
    assert_eq!(
        compare_texts(&format!("{function}{expected}"), &columnar).len(),
        1
    );
}

#[test]
fn a_changed_function_body_a_grantor_and_an_owner_are_differences() {
    let function = |body: &str| {
        let text = format!(
            "CREATE FUNCTION public.f() RETURNS text\n    LANGUAGE sql\n    AS $$SELECT ({body})$$;"
        );
        entry("f()", "FUNCTION", "public", &text)
    };
    assert_eq!(compare_texts(&function("a::int"), &function("a")).len(), 1);
    let acl = |role: &str| {
        let text = format!(
            "SET SESSION AUTHORIZATION {role};\nGRANT SELECT ON TABLE public.t TO x;\nRESET SESSION AUTHORIZATION;"
        );
        entry("TABLE t", "ACL", "public", &text)
    };
    assert_eq!(compare_texts(&acl("a"), &acl("b")).len(), 1);
    let table = entry("t", "TABLE", "public", TABLE);
    assert_eq!(
        compare_texts(&table, &table.replace("Owner: app", "Owner: eve")).len(),
        1
    );
}

#[test]
fn a_password_of_a_mapping_is_compared_and_never_shown() {
    let mapping = |password: &str| {
        let text = format!(
            "CREATE USER MAPPING FOR app SERVER s OPTIONS (\n    password '{password}'\n);"
        );
        entry("USER MAPPING app SERVER s", "USER MAPPING", "-", &text)
    };
    let differences = compare_texts(&mapping("one"), &mapping("two"));
    assert_eq!(differences.len(), 1);
    assert!(!differences[0].contains("one"), "{differences:?}");
}

#[test]
fn rows_and_large_objects_are_no_definitions() {
    let expected = entry(
        "v",
        "MATERIALIZED VIEW DATA",
        "public",
        "REFRESH MATERIALIZED VIEW public.v;",
    ) + &entry(
        "LARGE OBJECT 1",
        "ACL",
        "-",
        "GRANT SELECT ON LARGE OBJECT 1 TO x;",
    ) + &entry(
        "d",
        "DATABASE",
        "-",
        "CREATE DATABASE d WITH TEMPLATE = template0;\n\n\n\\connect d\n\nSET x = 1;",
    );
    let found = entry(
        "d",
        "DATABASE",
        "-",
        "CREATE DATABASE d WITH TEMPLATE = template0;\n\n\n\\connect d\n\nSET y = 1;",
    );
    assert_eq!(compare_texts(&expected, &found), [""; 0]);
}

#[test]
fn another_tablespace_is_a_difference_and_no_part_of_the_fingerprint() {
    let text = |table: &str, database: &str| {
        let header = format!(
            "--\n-- Name: t; Type: TABLE; Schema: public; Owner: app{table}\n--\n\n{TABLE}\n\n\n"
        );
        let body = format!("CREATE DATABASE d WITH TEMPLATE = template0{database};");
        header + &entry("d", "DATABASE", "-", &body)
    };
    let fast = text("; Tablespace: fast", " TABLESPACE = fast");
    let plain = text("", "");
    assert_eq!(
        compare_texts(&fast, &plain),
        [
            "schema DATABASE d: is defined otherwise in the restored copy: expected tablespace fast, found -",
            "schema TABLE public.t: is defined otherwise in the restored copy: expected tablespace fast, found -",
        ]
    );
    assert_eq!(normalised(&fast), normalised(&plain));
    let mut expected = SchemaText::parse(&fast);
    let found = SchemaText::parse(&plain);
    expected.forget_tablespaces();
    assert_eq!(compare(&expected, &found), []);
}

#[test]
fn quotes_around_an_option_of_a_dictionary_are_no_difference_and_its_value_is() {
    let dictionary = |option: &str| {
        let text = format!(
            "CREATE TEXT SEARCH DICTIONARY public.d (\n    TEMPLATE = pg_catalog.simple,\n    {option} );"
        );
        entry("d", "TEXT SEARCH DICTIONARY", "public", &text)
    };
    let plain = dictionary("stopwords = 'english'");
    assert_eq!(
        compare_texts(&plain, &dictionary("\"stopwords\" = 'english'")),
        [""; 0]
    );
    assert_eq!(
        compare_texts(&plain, &dictionary("stopwords = 'danish'")).len(),
        1
    );
}

/// Manifests hold the hash of it: another form needs another version.
#[test]
fn the_normal_form_is_version_1() {
    let comment = |text: &str| {
        let body = format!("COMMENT ON TABLE public.t IS '{text}';");
        entry("TABLE t", "COMMENT", "public", &body)
    };
    let text = format!(
        "{}{}{}{}",
        entry("t", "TABLE", "public", TABLE),
        comment("2"),
        comment("1"),
        entry("a", "SCHEMA", "-", "CREATE SCHEMA a;"),
    );
    assert_eq!(
        normalised(&text).lines().collect::<Vec<_>>(),
        [
            "schema fingerprint v1",
            r#"== SCHEMA "-" "a""#,
            "owner app",
            "CREATE SCHEMA a",
            r#"== COMMENT "public" "TABLE t""#,
            "owner app",
            "COMMENT ON TABLE public.t IS '1'",
            "owner app",
            "COMMENT ON TABLE public.t IS '2'",
            r#"== TABLE "public" "t""#,
            "owner app",
            "access method ",
            "CREATE TABLE public.t",
            "id integer NOT NULL",
            "name text DEFAULT 'a;b'",
            "ALTER TABLE public.t OWNER TO app",
        ]
    );
}

#[test]
fn what_is_no_schema_text_has_no_entries() {
    assert!(SchemaText::parse("pg_restore: error: nothing\n").is_empty());
}

#[test]
fn letters_of_another_encoding_are_told_apart() {
    let function = |letter: u8| {
        let text =
            "CREATE FUNCTION public.f() RETURNS text\n    LANGUAGE sql\n    AS $$SELECT 'caf?'$$;";
        let text = entry("f()", "FUNCTION", "public", text).into_bytes();
        let letters = text
            .into_iter()
            .map(|it| if it == b'?' { letter } else { it });
        raw_text::read(letters.collect())
    };
    assert_eq!(compare_texts(&function(0xe9), &function(0xe9)), [""; 0]);
    let differences = compare_texts(&function(0xe9), &function(0xe8));
    assert_eq!(differences.len(), 1);
    assert!(
        differences[0].contains("xe9") && differences[0].contains("xe8"),
        "{differences:?}"
    );
}

/// A header as it stands in a function's body, a comment, a view's text: anywhere inside of quotes.
const FAKE: &str = "\n--\n-- Name: t; Type: TABLE DATA; Schema: public; Owner: app\n--\n";

#[test]
fn what_reads_like_a_header_inside_of_quotes_hides_nothing() {
    let quoted = |before: &str, after: &str, end: &str| {
        let body =
            format!("CREATE FUNCTION public.f() RETURNS text AS {before}{FAKE}{end}{after};");
        let comment = format!("COMMENT ON VIEW public.v IS 'it''s{FAKE}{end}';");
        let view =
            format!("CREATE VIEW public.v AS\n SELECT E'\\\\{FAKE}{end}' AS \"a\"\"{FAKE}{end}\";");
        entry("f()", "FUNCTION", "public", &body)
            + &entry("VIEW v", "COMMENT", "public", &comment)
            + &entry("v", "VIEW", "public", &view)
            + &entry("t", "TABLE", "public", TABLE)
    };
    for (before, after) in [("$$", "$$"), ("$_$", "$_$"), ("'", "'"), ("E'\\'", "'")] {
        let right = quoted(before, after, "SELECT 1");
        assert_eq!(compare_texts(&right, &right), [""; 0], "{before}");
        let differences = compare_texts(&right, &quoted(before, after, "SELECT 2"));
        assert_eq!(differences.len(), 3, "{before}: {differences:#?}");
        for (difference, start) in differences.iter().zip([
            "schema COMMENT public.VIEW v: ",
            "schema FUNCTION public.f(): ",
            "schema VIEW public.v: ",
        ]) {
            assert!(difference.starts_with(start), "{before}: {differences:#?}");
        }
    }
}

#[test]
fn no_name_makes_a_definition_look_like_rows() {
    let names = [
        ("LARGE OBJECT 1", "public"),
        ("t", "x; Type: TABLE DATA; Schema: y"),
        ("t; Type: TABLE DATA; Schema: y; Owner: z", "public"),
    ];
    for (name, schema) in names {
        let table = |kind: &str| {
            entry(
                name,
                "TABLE",
                schema,
                &format!("CREATE TABLE t (\n    a {kind}\n);"),
            )
        };
        assert_eq!(
            compare_texts(&table("integer"), &table("bigint")).len(),
            1,
            "{name}"
        );
    }
    let grant = |role: &str| {
        let text = format!("GRANT SELECT(\"a ON LARGE OBJECT b\") ON TABLE public.t TO {role};");
        entry("COLUMN t.c", "ACL", "public", &text)
    };
    assert_eq!(compare_texts(&grant("a"), &grant("b")).len(), 1);
}

#[test]
fn a_copy_beside_its_database_differs_by_its_outside_and_subscriptions_alone() {
    let outside = |owner: &str, grants: &str| {
        let make = format!(
            "CREATE DATABASE app WITH TEMPLATE = template0 ENCODING = 'UTF8';\n\n\nALTER DATABASE app OWNER TO {owner};"
        );
        [
            entry("app", "DATABASE", "-", &make),
            entry("app", "DATABASE PROPERTIES", "-", grants),
            entry("DATABASE app", "ACL", "-", grants),
            entry("DATABASE app", "COMMENT", "-", grants),
        ]
        .join("")
    };
    let subscription = entry("news", "SUBSCRIPTION", "-", "CREATE SUBSCRIPTION news;");
    let told = entry("SUBSCRIPTION news", "COMMENT", "-", "COMMENT ON …;");
    let table = entry("t", "TABLE", "public", TABLE);
    let mut expected = SchemaText::parse(&(outside("app", "a;") + &table + &subscription + &told));
    let mut found = SchemaText::parse(&(outside("other", "b;") + &table));
    assert!(!compare(&expected, &found).is_empty());
    expected.forget_outside();
    expected.forget_subscriptions();
    found.forget_outside();
    assert_eq!(lines_of(&compare(&expected, &found)), [""; 0]);
    let encoded = outside("app", "a;").replace("UTF8", "LATIN1") + &table;
    let mut other = SchemaText::parse(&encoded);
    other.forget_outside();
    assert_eq!(compare(&expected, &other).len(), 1, "encoding counts");
}
