//! A dump that somebody else made, into a new database: no snapshot is known to compare with, so its rows are told.

use super::copy::Copy;
use super::site::{Site, said};
use super::source::Material;
use super::{Done, RestoreError};
use crate::domain::comparison::Rows;
use crate::domain::foreign::Shape;
use crate::domain::id::DatabaseName;
use crate::domain::job::JobKind;
use crate::domain::progress::Step;
use crate::domain::raw_text;
use crate::domain::restore::inspection::Inspection;
use crate::domain::restore::outside::{Outside, Placement};
use crate::domain::room::restored_size;
use crate::domain::unit::ByteCount;
use crate::job::server::{FeedRequest, Flow, Patience, feed};
use crate::job::verify::foreign::count::count_tables;
use crate::postgres::foreign::create_database;
use crate::postgres::restore::{self as sql, IntoRequest, Unpacking};

/// A schema text larger than this is not kept.
const SCHEMA_LIMIT: usize = 256 * 1024 * 1024;
/// Tables that are told one by one.
const TOLD_TABLES: usize = 1_000;

/// What is in a file.
struct Looked {
    shape: Shape,
    unpacking: Unpacking,
    doubt: Option<&'static str>,
}

impl Looked {
    fn is_archive(&self) -> bool {
        matches!(self.shape, Shape::Custom | Shape::Tar)
    }
}

impl Site<'_> {
    pub(super) async fn restore_foreign(
        &self,
        material: &Material,
        name: &DatabaseName,
    ) -> Result<Done, RestoreError> {
        let looked = self.look(material).await?;
        let size = material.size().await;
        let is_packed = looked.unpacking != Unpacking::Nothing || looked.shape == Shape::Custom;
        let restored = if is_packed {
            restored_size(size)
        } else {
            // Text and its indexes.
            ByteCount(size.0.saturating_mul(2))
        };
        self.expect_room(restored).await?;
        let outside = if looked.is_archive() {
            Some(self.read_archive(material, looked.unpacking).await?)
        } else {
            None
        };
        let create = |name: &str| match &outside {
            Some((_, outside)) => outside.create(name, Placement::Default),
            None => create_database(&DatabaseName::new(name)),
        };
        let copy = Copy::make(self, name, None, create).await?;
        let schema = outside.as_ref().map(|(schema, _)| schema.as_str());
        let filling = Box::pin(self.fill_foreign(material, &looked, &copy.name, schema));
        let tables = match self.run.or_stopped(filling).await {
            Ok(tables) => tables,
            Err(error) => {
                copy.remove().await;
                return Err(error);
            }
        };
        let outside = outside.as_ref().map(|(_, outside)| outside);
        copy.publish(name, outside).await?;
        Ok(self.told(name, &looked, tables))
    }

    fn told(
        &self,
        name: &DatabaseName,
        looked: &Looked,
        tables: Vec<(String, Result<String, String>)>,
    ) -> Done {
        let mut detail = format!(
            "{}, restored into the new database {name} without an error: {} tables; level restore and no further, since no snapshot is known to compare with",
            looked.shape,
            tables.len()
        );
        if let Some(doubt) = looked.doubt {
            detail = format!("{detail}; {doubt}");
        }
        Done {
            subject: self.name(name),
            backup: None,
            detail,
            downtime: None,
            parts: tables.into_iter().take(TOLD_TABLES).collect(),
        }
    }

    /// What a file is, and for SQL, whether all of it is there and it stays within its database.
    async fn look(&self, material: &Material) -> Result<Looked, RestoreError> {
        let no_dump = |why: &str| RestoreError::NoDump {
            file: material.shown(),
            why: why.to_owned(),
        };
        let mut seen = Inspection::default();
        let mut stored = material.open(self.context).await?;
        if let Some(first) = stored.next().await {
            seen.see(&first);
        }
        // An archive is judged by pg_restore, whose head is enough for now.
        let unpacking = match seen.shape() {
            Some(Shape::Gzip) => Unpacking::Gzip,
            Some(Shape::Zstd) => Unpacking::Zstd,
            Some(shape @ (Shape::Custom | Shape::Tar)) => {
                return Ok(Looked {
                    shape,
                    unpacking: Unpacking::Nothing,
                    doubt: None,
                });
            }
            _ => {
                while let Some(chunk) = stored.next().await {
                    seen.see(&chunk);
                }
                stored.finish().await?;
                Unpacking::Nothing
            }
        };
        if unpacking != Unpacking::Nothing {
            seen = self.unpack(material, unpacking).await?;
        }
        judge(&mut seen, unpacking).map_err(|why| no_dump(&why))
    }

    async fn unpack(
        &self,
        material: &Material,
        unpacking: Unpacking,
    ) -> Result<Inspection, RestoreError> {
        let mut seen = Inspection::default();
        let mut stored = material.open(self.context).await?;
        let command = sql::unpack_command(unpacking);
        let see = |chunk: &[u8]| seen.see(chunk);
        let asked = FeedRequest {
            spec: command,
            patience: Patience::Silence,
        };
        let fed = feed(self.context, self.target, asked, &mut stored, see).await?;
        if fed.code == 0 && unpacking.is_well(&fed.stderr) {
            return Ok(seen);
        }
        Err(RestoreError::NoDump {
            file: material.shown(),
            why: format!("its stream is broken: {}", said(&fed.stderr)),
        })
    }

    async fn read_archive(
        &self,
        material: &Material,
        unpacking: Unpacking,
    ) -> Result<(String, Outside), RestoreError> {
        let command = sql::archive_schema_command(&self.login, unpacking);
        let mut stored = material.open(self.context).await?;
        let mut text = Vec::new();
        let keep = |chunk: &[u8]| {
            if text.len() < SCHEMA_LIMIT {
                text.extend_from_slice(chunk);
            }
        };
        let asked = FeedRequest {
            spec: command,
            patience: Patience::Silence,
        };
        let fed = feed(self.context, self.target, asked, &mut stored, keep).await?;
        let text = raw_text::read(text);
        match Outside::find(&text).filter(|_| fed.code == 0) {
            Some(outside) => Ok((text, outside)),
            None => Err(RestoreError::NoDump {
                file: material.shown(),
                why: format!("pg_restore cannot read it: {}", said(&fed.stderr)),
            }),
        }
    }

    async fn fill_foreign(
        &self,
        material: &Material,
        looked: &Looked,
        copy: &DatabaseName,
        schema: Option<&str>,
    ) -> Result<Vec<(String, Result<String, String>)>, RestoreError> {
        let request = IntoRequest {
            login: &self.login,
            database: copy,
            unpacking: looked.unpacking,
            application: &self.application,
        };
        let command = match schema {
            Some(schema) => request.archive(schema, Placement::Default),
            None => request.sql(),
        };
        // In SQL a statement that takes hours may stand anywhere, and behind the data of a tar there is more of the file.
        let patience = match looked.shape {
            Shape::Custom => Patience::Silence,
            _ => Patience::Endless,
        };
        self.pour(material, &request, command, patience).await?;
        self.context
            .progress
            .go_on(JobKind::Restore, Step::Comparing);
        self.analyze(copy).await?;
        let mut inside = self.connect(copy).await?;
        let tables = count_tables(&mut inside.session).await;
        let tables = tables.map_err(|source| inside.error(source))?;
        let told = tables.into_iter().map(|table| {
            let told = match table.rows {
                Rows::Exact(rows) => format!("{rows} rows"),
                Rows::Absent(why) => format!("not counted: {why}"),
            };
            (format!("table {}", table.name), Ok(told))
        });
        Ok(told.collect())
    }
}

/// What passed by, when it can be restored; why not, otherwise.
fn judge(seen: &mut Inspection, unpacking: Unpacking) -> Result<Looked, String> {
    let doubt = (!seen.is_complete())
        .then_some("it does not say where it ends, so nobody can tell whether it is whole");
    let why = match seen.shape() {
        Some(shape @ (Shape::Custom | Shape::Tar)) => {
            return Ok(Looked {
                shape,
                unpacking,
                doubt: None,
            });
        }
        Some(Shape::Plain) if doubt.is_some() => {
            "it breaks off: pg_dump ends its SQL with a line that is not there"
        }
        Some(shape @ (Shape::Plain | Shape::Text)) => {
            let Some(command) = seen.find_command() else {
                return Ok(Looked {
                    shape,
                    unpacking,
                    doubt,
                });
            };
            return Err(format!(
                "it holds {command:?} for psql, which would reach beyond the new database; dump it without -C, or only verify it"
            ));
        }
        Some(Shape::Cluster) => {
            "it is a dump of a whole server; only dumps of one database can be restored: pg_dump, not pg_dumpall"
        }
        Some(Shape::Empty) => "it is empty",
        Some(Shape::Directory) => {
            "it is a folder in pg_dump's directory format; make one file of it: pg_dump -Fc"
        }
        Some(Shape::Gzip | Shape::Zstd | Shape::OtherTar) | None => {
            "it is neither an archive of pg_dump nor SQL, nor one of both in gzip or zstd"
        }
    };
    Err(why.to_owned())
}
