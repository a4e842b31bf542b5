use super::*;

/// An entry as `pg_dump` writes it.
fn entry(name: &str, kind: &str, schema: &str, body: &str) -> String {
    format!("--\n-- Name: {name}; Type: {kind}; Schema: {schema}; Owner: app\n--\n\n{body}\n\n\n")
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
    assert_eq!(
        SchemaText::parse(&expected).normalised_text(),
        SchemaText::parse(&found).normalised_text()
    );
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
fn rows_and_large_objects_are_no_definitions_and_a_tablespace_is_left_out() {
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
        "CREATE DATABASE d WITH TEMPLATE = template0 TABLESPACE = fast;\n\n\n\\connect d\n\nSET x = 1;",
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
fn what_is_no_schema_text_has_no_entries() {
    assert!(SchemaText::parse("pg_restore: error: nothing\n").is_empty());
}
