use super::*;

fn words(mode: &str, backup: Option<&str>) -> Words {
    Words {
        mode: mode.to_owned(),
        backup: backup.map(str::to_owned),
        name: Some("copy".to_owned()),
        ..Words::default()
    }
}

#[test]
fn words_become_a_wish() {
    let read = |mode, backup| Wish::read(words(mode, backup)).map(|wish| wish.mode);
    let id = "20260121T020000Z-3f9c";
    assert_eq!(read("swap", Some("latest")), Ok(Mode::Swap(Which::Latest)));
    let by_id = Which::Id(BackupId::parse(id).unwrap());
    assert_eq!(read("swap", Some(id)), Ok(Mode::Swap(by_id)));
    let file = Meant::File("other/x.dump".into());
    let into = Mode::Into(file, DatabaseName::new("copy"));
    assert_eq!(read("into", Some("other/x.dump")), Ok(into));
    assert_eq!(read("undo", None), Ok(Mode::Undo));
    assert_eq!(read("drop", None), Ok(Mode::Drop));
    let at = Words {
        at: Some("2026-01-21T03:00:00+01:00".to_owned()),
        ..words("swap", Some("latest"))
    };
    let at = Wish::read(at).unwrap().mode;
    assert_eq!(
        at,
        Mode::Swap(Which::At("2026-01-21T02:00:00Z".parse().unwrap()))
    );
}

#[test]
fn words_that_make_no_sense_are_told_one_by_one() {
    let error = |words: Words| Wish::read(words).unwrap_err();
    assert_eq!(error(words("into", None)), WishError::NoBackup);
    assert_eq!(error(words("swap", Some("./x.dump"))), WishError::FileSwap);
    assert!(matches!(
        error(words("swap", Some("latst"))),
        WishError::Unknown(_)
    ));
    assert!(matches!(
        error(words("undo", Some("latest"))),
        WishError::Superfluous(_)
    ));
    assert!(matches!(error(words("over", None)), WishError::Mode(_)));
    let nameless = Words {
        name: None,
        ..words("into", Some("latest"))
    };
    assert_eq!(error(nameless), WishError::Name(NameError::Empty));
    let with = |at: &str, backup| Words {
        at: Some(at.to_owned()),
        ..words("swap", Some(backup))
    };
    assert!(matches!(
        error(with("yesterday", "latest")),
        WishError::Time(_)
    ));
    let of_one = with("2026-01-21T03:00:00Z", "20260121T020000Z-3f9c");
    assert_eq!(error(of_one), WishError::TimeOfOne);
    let database = Words {
        database: Some("app".to_owned()),
        ..words("undo", None)
    };
    assert!(matches!(error(database), WishError::Database(_)));
    let from = |from: &str, mode, backup| Words {
        from: Some(from.to_owned()),
        ..words(mode, backup)
    };
    let wrong = error(from("tape", "swap", Some("latest")));
    assert_eq!(wrong, WishError::Destination("tape".to_owned()));
    assert_eq!(error(from("s3", "undo", None)), WishError::SuperfluousFrom);
    assert!(Wish::read(from("s3", "swap", Some("latest"))).is_ok());
}

#[test]
fn whose_backup_is_meant_is_said_once_and_in_whose_place_it_goes() {
    let of_project = |mode: &str, backup| Words {
        project: Some("shop-prod".to_owned()),
        database: Some("postgres/app".to_owned()),
        ..words(mode, backup)
    };
    let error = |words: Words| Wish::read(words).unwrap_err();
    let both = Words {
        volume: Some("old_data".to_owned()),
        ..of_project("swap", Some("latest"))
    };
    assert_eq!(error(both), WishError::TwoOwners);
    let nowhere = Words {
        database: None,
        ..of_project("swap", Some("latest"))
    };
    assert_eq!(error(nowhere), WishError::NoTarget);
    assert_eq!(error(of_project("undo", None)), WishError::SuperfluousOwner);
    let file = of_project("into", Some("./x.dump"));
    assert_eq!(error(file), WishError::SuperfluousOwner);
    let prefix = Words {
        prefix: Some("eu".to_owned()),
        ..words("swap", Some("latest"))
    };
    assert_eq!(error(prefix), WishError::SuperfluousWord("--prefix"));
    let swap = Wish::read(of_project("swap", Some("latest"))).unwrap();
    let order = swap.resolve([]).unwrap();
    let told = "the latest of project shop-prod in the place of postgres/app";
    assert_eq!(order.subject(), told);
    let volume = Words {
        volume: Some("old_data".to_owned()),
        ..words("into", Some("latest"))
    };
    let none = Wish::read(volume).unwrap().resolve([]).unwrap_err();
    assert!(none.to_string().contains("backup --from-volume old_data"));
}

#[test]
fn an_undo_without_a_database_means_the_only_one() {
    let undo = || Wish::read(words("undo", None)).unwrap();
    let error = undo().resolve([]).unwrap_err();
    assert!(matches!(error, ChoiceError::NoDatabase { .. }));
    let backup = crate::domain::backup::example_backup(Vec::new());
    let series = backup.manifest.series.clone();
    let order = undo().resolve([(&series, vec![&backup])]).unwrap();
    assert_eq!(order.subject(), "postgres/app");
}
