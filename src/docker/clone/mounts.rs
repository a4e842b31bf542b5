//! Which volumes a clone shares with its source, and which are made fresh.

use std::collections::HashSet;

use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, HostConfig, Mount, MountPoint, MountType,
};

const ANONYMOUS_NAME: usize = 64;

/// Replaces anonymous volumes by fresh ones, and `volumes_from` by the volumes themselves: those are bound by name,
/// so that removing the clone with its anonymous volumes cannot remove them.
pub(super) fn carry_over(source: &ContainerInspectResponse, body: &mut ContainerCreateBody) {
    let Some(host) = body.host_config.as_mut() else {
        return;
    };
    let mut fresh: Vec<String> = Vec::new();
    if let Some(binds) = host.binds.as_mut() {
        binds.retain(|bind| match anonymous_target(bind) {
            Some(target) => {
                fresh.push(target.to_owned());
                false
            }
            None => true,
        });
    }
    for mount in host.mounts.iter_mut().flatten() {
        if mount.typ == Some(MountType::VOLUME) && mount.source.as_deref().is_some_and(is_anonymous)
        {
            mount.source = None;
        }
    }
    if host
        .volumes_from
        .take()
        .is_some_and(|from| !from.is_empty())
    {
        let covered = covered_targets(host, body.volumes.as_deref().unwrap_or_default());
        let foreign = source.mounts.iter().flatten();
        let binds = foreign.filter_map(|mount| bind_of(mount, &covered));
        host.binds.get_or_insert_default().extend(binds);
    }
    body.volumes.get_or_insert_default().extend(fresh);
}

fn is_anonymous(name: &str) -> bool {
    name.len() == ANONYMOUS_NAME && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The target of `<anonymous volume>:/target[:mode]`.
fn anonymous_target(bind: &str) -> Option<&str> {
    let (name, rest) = bind.split_once(':')?;
    if is_anonymous(name) {
        rest.split(':').next()
    } else {
        None
    }
}

fn covered_targets(host: &HostConfig, volumes: &[String]) -> HashSet<String> {
    let binds = host.binds.iter().flatten();
    let from_binds = binds.filter_map(|bind| bind.split(':').nth(1));
    let mounts = host.mounts.iter().flatten();
    let from_mounts = mounts.filter_map(|mount: &Mount| mount.target.as_deref());
    let from_volumes = volumes.iter().map(String::as_str);
    from_binds
        .chain(from_mounts)
        .chain(from_volumes)
        .map(str::to_owned)
        .collect()
}

fn bind_of(mount: &MountPoint, covered: &HashSet<String>) -> Option<String> {
    let target = mount.destination.as_deref()?;
    if covered.contains(target) {
        return None;
    }
    let source = match mount.typ.as_deref() {
        Some("volume") => mount.name.as_deref()?,
        Some("bind") => mount.source.as_deref()?,
        _ => return None,
    };
    let mode = if mount.rw == Some(false) { "ro" } else { "rw" };
    Some(format!("{source}:{target}:{mode}"))
}
