//! The roles that an archive needs and the server lacks.

use std::collections::BTreeSet;
use std::time::Duration;

use super::RestoreError;
use super::site::Site;
use super::source::Material;
use crate::domain::backup::{Counted, Manifest};
use crate::domain::comparison::Rows;
use crate::domain::raw_text;
use crate::domain::restore::roles::{find_created, find_missing, find_named};
use crate::postgres::large_object::LARGE_OBJECTS;
use crate::postgres::restore as sql;

/// Making roles: nothing but catalogue.
const STATEMENT: Duration = Duration::from_mins(1);

impl Site<'_> {
    /// Makes the roles that the archive names and the server lacks.
    pub(super) async fn make_roles(
        &self,
        material: &Material,
        manifest: &Manifest,
        schema: &str,
    ) -> Result<BTreeSet<String>, RestoreError> {
        let Some(globals) = self
            .run
            .or_stopped(material.read_roles(self.context))
            .await?
        else {
            return Ok(BTreeSet::new());
        };
        let globals = raw_text::read(globals);
        let mut needed = find_named(schema);
        if holds_large_objects(manifest) {
            // Their owners stand in no schema text.
            needed.extend(find_created(&globals));
        }
        let mut maintenance = self.maintenance().await?;
        let existing = sql::roles(&mut maintenance.session).await;
        let existing = existing.map_err(|source| maintenance.error(source))?;
        let existing: BTreeSet<String> = existing.into_iter().collect();
        let missing = find_missing(&globals, &needed, &existing);
        if !missing.statements.is_empty() {
            let session = &mut maintenance.session;
            let made = sql::transact(session, &missing.statements, STATEMENT).await;
            made.map_err(|source| maintenance.error(source))?;
        }
        Ok(missing.names)
    }
}

fn holds_large_objects(manifest: &Manifest) -> bool {
    let Counted::Exact(census) = &manifest.counted else {
        return true;
    };
    let mut tables = census.tables.iter();
    tables.any(|it| it.name == LARGE_OBJECTS && it.rows != Rows::Exact(0))
}
