//! The servers outside the stack, each mistake a problem of its own.

use std::path::Path;

use super::{ConfigProblemKind, Reader};
use crate::config::external::{Surroundings, parse_entries};
use crate::config::table;
use crate::domain::external::ExternalServer;
use crate::domain::schedule::Zone;

impl Reader<'_> {
    /// With a wrong zone or wrong roots everything else is still checked.
    pub(super) fn external(
        &mut self,
        zone: Option<Zone>,
        roots: Option<&Path>,
    ) -> Vec<ExternalServer> {
        let Some(entries) = self.setting(table::EXTERNAL, parse_entries) else {
            return Vec::new();
        };
        let surroundings = Surroundings {
            zone: zone.unwrap_or(Zone::UTC),
            roots: roots.unwrap_or(Path::new("/")),
            read_file: self.read_file,
        };
        match entries.read(&surroundings) {
            Ok(servers) => servers,
            Err(problems) => {
                for reason in problems {
                    self.report(table::EXTERNAL, ConfigProblemKind::BadValue { reason });
                }
                Vec::new()
            }
        }
    }
}
