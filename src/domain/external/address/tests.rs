use proptest::prelude::*;

use super::*;

fn errors(text: &str) -> Vec<String> {
    let errors = parse_address(text).unwrap_err();
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn parameters_of_libpq_stay_and_those_of_other_tools_go() {
    let address = parse_address(
        "postgresql://app:p%40ss@db.example:6000/shop?schema=public&connection_limit=5&sslmode=verify-full&application_name=x&keepalives_idle=30&pgbouncer=false#x",
    )
    .unwrap();
    assert_eq!((address.host.as_str(), address.port), ("db.example", 6000));
    assert_eq!(
        (address.user.as_str(), address.database.as_str()),
        ("app", "shop")
    );
    assert_eq!(
        address.parameters,
        [
            ("sslmode", "verify-full".to_owned()),
            ("keepalives_idle", "30".to_owned())
        ]
    );
    assert_eq!(
        address.password,
        AddressPassword::Value(Secret::new("p@ss".to_owned()))
    );
}

#[test]
fn what_could_make_a_connection_less_safe_is_refused_instead_of_dropped() {
    for (parameters, said) in [
        ("sslmod=verify-full", "did you mean sslmode?"),
        ("sslaccept=strict", "libpq has no parameter sslaccept"),
        ("tls=true", "libpq has no parameter tls"),
        ("chanel_binding=require", "did you mean channel_binding?"),
        ("sslmode=no-verify", "is none of disable, allow"),
        ("sslmode=disable&sslmode=verify-full", "twice"),
        ("sslpassword=x", "needs no passphrase"),
        ("pgbouncer=true", "instead of the pooler's"),
        ("password=x", "before the @"),
    ] {
        let said_of = errors(&format!("postgres://app:secret@db/shop?{parameters}"));
        assert_eq!(said_of.len(), 1, "{parameters}: {said_of:?}");
        assert!(said_of[0].contains(said), "{parameters}: {said_of:?}");
        assert!(!said_of[0].contains("secret"), "{said_of:?}");
    }
    for (parameters, mode) in [("ssl=true", "require"), ("ssl=verify-full", "verify-full")] {
        let address = parse_address(&format!("postgres://app@db/shop?{parameters}")).unwrap();
        assert_eq!(address.find("sslmode"), Some(mode));
    }
}

#[test]
fn every_mistake_of_a_url_is_told() {
    for (text, said) in [
        ("jdbc:postgresql://db/shop", "Java"),
        ("JDBC:postgresql://db/shop", "Java"),
        ("sqlite:///./app.db", "no URL of Postgres"),
        ("mysql://app@db/shop", "no URL of Postgres"),
        ("", "no URL of Postgres"),
        ("postgres://db/shop", "names no user"),
        ("postgres://app@db", "names no database"),
        ("postgres://app@a,b/shop", "several hosts"),
        ("postgres://app:p#ss@db/shop", "percent-encoded"),
        ("postgres://app:p%zz@db/shop", "percent-encoded"),
        ("postgres://app:a%0ab@db/shop", "line break"),
    ] {
        assert!(errors(text)[0].contains(said), "{text}: {:?}", errors(text));
    }
    let both = errors("postgres://app@a,b?sslmod=x");
    assert_eq!(both.len(), 3, "{both:?}");
}

#[test]
fn a_root_of_trust_means_verification() {
    let usual = Path::new("/etc/ssl/roots.pem");
    let trusting = |parameters: &str, ca: Option<&str>| {
        let mut address = parse_address(&format!("postgres://app@db/shop?{parameters}")).unwrap();
        address.trust(ca.map(Path::new), usual).map(|()| {
            let find = |name| address.find(name).map(str::to_owned);
            (find("sslmode"), find("sslrootcert"))
        })
    };
    let pair = |mode: &str, root: &str| Ok((Some(mode.to_owned()), Some(root.to_owned())));
    assert_eq!(trusting("", Some("/ca")), pair("verify-full", "/ca"));
    assert_eq!(
        trusting("sslmode=verify-ca", Some("/ca")),
        pair("verify-ca", "/ca")
    );
    assert_eq!(
        trusting("sslmode=require", Some("/ca")),
        pair("require", "/ca")
    );
    assert_eq!(
        trusting("sslmode=verify-full", None),
        pair("verify-full", "/etc/ssl/roots.pem")
    );
    assert_eq!(
        trusting("sslmode=verify-full&sslrootcert=system", None),
        pair("verify-full", "system")
    );
    assert_eq!(trusting("", None), Ok((None, None)));
    assert_eq!(
        trusting("sslmode=require", None),
        Ok((Some("require".to_owned()), None))
    );
    assert_eq!(
        trusting("sslmode=prefer", Some("/ca")),
        Err(AddressError::Unused("prefer".to_owned()))
    );
    assert_eq!(
        trusting("sslrootcert=/a", Some("/ca")),
        Err(AddressError::Roots)
    );
}

proptest! {
    #[test]
    fn no_url_panics_and_no_error_shows_a_password(text in "\\PC{0,60}", query in "\\PC{0,40}") {
        drop(parse_address(&text));
        let url = format!("postgres://app:hunter2hunter2@db/shop?{query}");
        match parse_address(&url) {
            Ok(address) => {
                let shown = format!("{address:?}");
                prop_assert!(!shown.contains("hunter2hunter2"));
            }
            Err(errors) => {
                let shown = format!("{errors:?} {}", errors.iter().map(ToString::to_string).collect::<String>());
                prop_assert!(!shown.contains("hunter2hunter2"));
            }
        }
    }
}
