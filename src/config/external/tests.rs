use proptest::prelude::*;

use super::*;

const PASSWORD: &str = "hunter2hunter2";

fn read(text: &str) -> Result<Vec<ExternalServer>, Vec<String>> {
    let surroundings = Surroundings {
        zone: Zone::UTC,
        roots: Path::new("/roots.pem"),
        read_file: &|path| match path.to_str() {
            Some("/ca.pem") => Ok("-----BEGIN CERTIFICATE-----\nx\n".to_owned()),
            Some("/password") => Ok(format!("{PASSWORD}\n")),
            Some("/empty") => Ok("\n".to_owned()),
            _ => Err("No such file or directory (os error 2)".to_owned()),
        },
    };
    let entries = parse_entries(text).map_err(|ValueError(why)| vec![why])?;
    entries.read(&surroundings)
}

#[test]
fn a_server_with_everything_is_read() {
    let servers = read(
        r#"[{"name": "shop-db", "url": "postgres://app@db.example/shop?schema=public", "password_file": "/password",
            "schedule": "30 3 * * *", "keep": "last=3", "verify": "rows", "databases": ["shop", "billing"],
            "ca": "/ca.pem", "image": "postgres:17"},
           {"name": "other", "url": "postgres://app:hunter2hunter2@db.example:6000/other", "databases": "*"}]"#,
    )
    .unwrap();
    let [shop, other] = servers.as_slice() else {
        panic!("two servers");
    };
    assert_eq!(shop.name.as_str(), "shop-db");
    assert_eq!(
        shop.address.password,
        AddressPassword::File(PathBuf::from("/password"))
    );
    assert_eq!(shop.address.find("sslmode"), Some("verify-full"));
    assert_eq!(shop.address.find("sslrootcert"), Some("/ca.pem"));
    assert_eq!(shop.image.as_deref(), Some("postgres:17"));
    assert!(
        matches!(&shop.wishes.databases, Some(DatabaseSelection::Named(names)) if names.len() == 2)
    );
    assert!(
        shop.wishes.schedule.is_some()
            && shop.wishes.keep.is_some()
            && shop.wishes.verify.is_some()
    );
    assert_eq!(other.wishes.databases, Some(DatabaseSelection::All));
    assert!(!format!("{servers:?}").contains(PASSWORD));
}

#[test]
fn all_mistakes_are_told_at_once_and_none_shows_a_password() {
    let problems = read(
        r#"[{"name": "shop db", "url": "postgres://app:hunter2hunter2@db/shop?sslmod=x", "pasword_file": "/password", "verify": "all"},
            {"name": "b", "url": "jdbc:postgresql://db/shop?password=hunter2hunter2"},
            {"name": "c", "url": "postgres://app:hunter2hunter2@db/c", "password_file": "/password", "ca": "/password"},
            {"name": "c", "url": "postgres://app@db/c", "ca": "ca.pem", "keep": 3, "databases": [1]},
            {"url": "postgres://app@db/d", "password_file": "/none", "zzz": 1}, 5, {"name": "e"}]"#,
    )
    .unwrap_err();
    insta::assert_snapshot!(problems.join("\n"), @r#"
    entry 1: its name is none of a service; write up to 63 letters, digits, -, _ and ., such as shop-db
    entry 1: no such key "pasword_file", did you mean password_file?
    entry 1: url: libpq has no parameter sslmod, and dropping it could make the connection less safe, did you mean sslmode?; write sslmode=verify-full or remove it
    entry 1: verify: "all" is none of stream, archive, restore, rows, content
    entry 2 (b): url: it is a URL of Java (jdbc:); write postgres://user:password@host:5432/database
    entry 3 (c): the file of ca holds no certificate in PEM
    entry 3 (c): a password stands in its url and in password_file; keep one of both
    entry 4 (c): ca is no absolute path; write one that begins with /
    entry 4 (c): keep is no text; write it between quotation marks
    entry 4 (c): databases is no list of names; write ["app", "billing"] or "*"
    entry 4 (c): its name stands there twice; give each server its own
    entry 5: it has no name; it stands for a service's in paths, metrics and commands
    entry 5: no such key "zzz", there are name, url, password_file, schedule, keep, verify, databases, ca, image
    entry 5: password_file: cannot read /none (No such file or directory (os error 2)); mount the file and let the container's user read it
    entry 6: it is no object; write [{"name": "shop-db", "url": "postgres://user:password@host:5432/database?sslmode=verify-full"}]
    entry 7 (e): it has no url; write postgres://user:password@host:5432/database
    "#);
    assert!(!problems.join("\n").contains(PASSWORD));
}

#[test]
fn what_is_no_list_is_told_without_its_text() {
    for text in [
        "",
        "hunter2hunter2",
        "{}",
        "[]",
        "\"x\"",
        "[{\"url\": \"hunter2hunter2\"",
    ] {
        let problems = read(text).unwrap_err();
        assert_eq!(problems.len(), 1);
        assert!(problems[0].contains("no list of objects"), "{problems:?}");
        assert!(!problems[0].contains(PASSWORD), "{problems:?}");
    }
}

proptest! {
    #[test]
    fn no_text_panics_and_every_server_is_itself_again(
        text in "\\PC{0,80}",
        name in "[a-z][a-z0-9-]{0,20}",
        password in "[a-z@:/#% ]{1,20}",
        database in "[a-z]{1,20}",
    ) {
        drop(read(&text));
        drop(read(&format!("[{{\"name\": {text:?}, \"url\": {text:?}}}]")));
        let encode = |part: &str| part.bytes().fold(String::new(), |text, byte| format!("{text}%{byte:02x}"));
        let url = format!("postgres://app:{}@db/{database}", encode(&password));
        let json = serde_json::json!([{"name": name, "url": url}]).to_string();
        let servers = read(&json).unwrap();
        prop_assert_eq!(servers[0].name.as_str(), name.as_str());
        prop_assert_eq!(servers[0].address.database.as_str(), database.as_str());
        let expected = AddressPassword::Value(Secret::new(password));
        prop_assert_eq!(&servers[0].address.password, &expected);
    }
}
