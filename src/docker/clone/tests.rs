use bollard::models::{Mount, MountPoint, MountType, NetworkSettings};

use super::*;

const ANONYMOUS: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn request(command: &[&str], entrypoint: EntrypointPolicy) -> CloneRequest {
    CloneRequest {
        source: ContainerId::new("source"),
        name: "clone".to_owned(),
        labels: BTreeMap::from([
            ("stackwarden.role".to_owned(), "migration".to_owned()),
            ("com.docker.compose.project".to_owned(), "app".to_owned()),
        ]),
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        entrypoint,
    }
}

fn source(entrypoint: &[&str]) -> ContainerInspectResponse {
    let words = entrypoint.iter().map(|word| (*word).to_owned()).collect();
    ContainerInspectResponse {
        image: Some("sha256:1".to_owned()),
        config: Some(ContainerConfig {
            entrypoint: Some(words),
            hostname: Some("api-1".to_owned()),
            env: Some(vec!["A=1".to_owned()]),
            ..ContainerConfig::default()
        }),
        ..ContainerInspectResponse::default()
    }
}

fn body(source: &ContainerInspectResponse, request: &CloneRequest) -> ContainerCreateBody {
    let networks = Networks::of(source);
    let inherited = ["com.docker.compose.project".to_owned()];
    clone_body(source, request, &inherited, &networks).unwrap()
}

#[test]
fn a_kept_entrypoint_precedes_the_command_and_a_cleared_one_is_replaced() {
    let kept = body(
        &source(&["/entry.sh"]),
        &request(&["alembic", "upgrade"], EntrypointPolicy::Keep),
    );
    assert_eq!(kept.entrypoint.unwrap(), ["/entry.sh"]);
    assert_eq!(kept.cmd.unwrap(), ["alembic", "upgrade"]);
    let cleared = body(
        &source(&["/entry.sh"]),
        &request(&["alembic", "upgrade"], EntrypointPolicy::Clear),
    );
    assert_eq!(cleared.entrypoint.unwrap(), ["alembic"]);
    assert_eq!(cleared.cmd.unwrap(), ["upgrade"]);
}

#[test]
fn an_entrypoint_that_swallows_the_command_is_refused_unless_cleared() {
    for flag in ["-c", "-lc", "-ec"] {
        let source = source(&["bash", flag]);
        let kept = request(&["psql", "-f", "x"], EntrypointPolicy::Keep);
        let refused = clone_body(&source, &kept, &[], &Networks::default()).unwrap_err();
        assert!(
            refused.to_string().contains("entrypoint: clear"),
            "{refused}"
        );
        body(&source, &request(&["psql"], EntrypointPolicy::Clear));
    }
    body(
        &source(&["tini", "--"]),
        &request(&["psql"], EntrypointPolicy::Keep),
    );
}

#[test]
fn a_clone_is_invisible_to_compose_and_traefik() {
    let built = body(&source(&[]), &request(&["x"], EntrypointPolicy::Keep));
    let labels = built.labels.unwrap();
    assert_eq!(
        labels.get("traefik.enable").map(String::as_str),
        Some("false")
    );
    assert_eq!(
        labels.get("stackwarden.role").map(String::as_str),
        Some("migration")
    );
    assert!(
        labels
            .iter()
            .all(|(name, value)| !name.starts_with("com.docker.compose.") || value.is_empty())
    );
    assert_eq!(built.hostname, None);
    assert_eq!(built.healthcheck.unwrap().test.unwrap(), ["NONE"]);
}

#[test]
fn every_network_comes_along_without_alias_or_address() {
    let endpoint = EndpointSettings {
        aliases: Some(vec!["api".to_owned()]),
        ip_address: Some("10.0.0.2".to_owned()),
        mac_address: Some("02:42:ac:11:00:02".to_owned()),
        ..EndpointSettings::default()
    };
    let mut source = source(&[]);
    source.host_config = Some(HostConfig {
        network_mode: Some("app_default".to_owned()),
        ..HostConfig::default()
    });
    let names = ["aaa_proxy", "app_default", "zzz"];
    source.network_settings = Some(NetworkSettings {
        networks: Some(names.map(|name| (name.to_owned(), endpoint.clone())).into()),
        ..NetworkSettings::default()
    });
    let networks = Networks::of(&source);
    assert_eq!(
        networks.first,
        Some(("app_default".to_owned(), EndpointSettings::default()))
    );
    let others: Vec<&str> = networks
        .others
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(others, ["aaa_proxy", "zzz"]);
}

#[test]
fn host_and_shared_networks_are_kept_as_they_are() {
    for mode in ["host", "none", "container:abc"] {
        let mut source = source(&[]);
        source.host_config = Some(HostConfig {
            network_mode: Some(mode.to_owned()),
            ..HostConfig::default()
        });
        let networks = Networks::of(&source);
        assert_eq!(networks.mode.as_deref(), Some(mode));
        assert!(networks.first.is_none() && networks.others.is_empty());
    }
}

#[test]
fn named_volumes_are_shared_and_anonymous_ones_fresh() {
    let volume = |source: &str, target: &str| Mount {
        typ: Some(MountType::VOLUME),
        source: Some(source.to_owned()),
        target: Some(target.to_owned()),
        ..Mount::default()
    };
    let mut source = source(&[]);
    source.host_config = Some(HostConfig {
        binds: Some(vec![
            "named:/named:rw".to_owned(),
            "/srv/x:/bound:ro".to_owned(),
            format!("{ANONYMOUS}:/cache:rw"),
        ]),
        mounts: Some(vec![
            volume("data", "/data"),
            volume(ANONYMOUS, "/inherited"),
        ]),
        ..HostConfig::default()
    });
    let built = body(&source, &request(&["x"], EntrypointPolicy::Keep));
    let host = built.host_config.unwrap();
    assert_eq!(host.binds.unwrap(), ["named:/named:rw", "/srv/x:/bound:ro"]);
    assert_eq!(built.volumes.unwrap(), ["/cache"]);
    let sources: Vec<Option<String>> = host.mounts.unwrap().into_iter().map(|m| m.source).collect();
    assert_eq!(sources, [Some("data".to_owned()), None]);
}

#[test]
fn volumes_of_other_containers_are_bound_by_name() {
    let mut source = source(&[]);
    source.host_config = Some(HostConfig {
        volumes_from: Some(vec!["other".to_owned()]),
        ..HostConfig::default()
    });
    source.mounts = Some(vec![MountPoint {
        typ: Some("volume".to_owned()),
        name: Some(ANONYMOUS.to_owned()),
        destination: Some("/shared".to_owned()),
        rw: Some(false),
        ..MountPoint::default()
    }]);
    let host = body(&source, &request(&["x"], EntrypointPolicy::Keep))
        .host_config
        .unwrap();
    assert_eq!(host.volumes_from, None);
    assert_eq!(host.binds.unwrap(), [format!("{ANONYMOUS}:/shared:ro")]);
}
