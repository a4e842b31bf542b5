//! SQL of `pg_dumpall`: roles first, then every database.

use super::{Court, Judgement, Verdict, said};
use crate::domain::foreign::{Shape, find_bootstrap, is_complete};
use crate::domain::id::DatabaseName;
use crate::job::verify::VerifyError;
use crate::job::verify::scratch::expect_success;
use crate::postgres::foreign;
use crate::postgres::scratch::{filter_globals, is_failure_of_psql};

/// Where its databases are written to.
const DATABASES: &str = "/stackwarden/databases";
/// What the scratch server's own first role is called where the dump has no superuser.
const NOBODY: &str = "stackwarden_bootstrap";

impl Court<'_> {
    /// Restores a whole server. No role and no table of the stack is there before: it is judged by itself.
    pub(super) async fn cluster(&self, file: &'static str) -> Result<Judgement, VerifyError> {
        let wrong = |why: String| Ok(Judgement::wrong(Some(Shape::Cluster), why));
        let tail = self.run(foreign::tail_command(file)).await?;
        expect_success("could not read its end", &tail)?;
        if !is_complete(Shape::Cluster, &tail.stdout) {
            return wrong(
                "it breaks off: pg_dumpall ends its SQL with a line that is not there".to_owned(),
            );
        }
        let globals = self.run(foreign::globals_command(file)).await?;
        expect_success("could not read its roles", &globals)?;
        let split = self
            .run(foreign::databases_command(file, DATABASES))
            .await?;
        self.scratch.expect_room(&split)?;
        expect_success("could not read its databases", &split)?;
        let court = self.of_the_judge(&globals.stdout).await?;
        if let Some(why) = court.make_roles(&globals.stdout).await? {
            return wrong(why);
        }
        let entry = DatabaseName::new("template1");
        let mut made_up = Vec::new();
        loop {
            let application = &court.scratch.application;
            let command = foreign::sql_command(&court.login, DATABASES, &entry, application);
            let ran = court.run(command).await?;
            match court.judge_restore(&ran, &mut made_up).await? {
                Verdict::Restored => break,
                Verdict::Again => court.clear().await?,
                Verdict::Refused(why) => return wrong(why),
            }
        }
        court.count(Shape::Cluster, &made_up, None).await
    }

    /// The same court by a role of its own: the dump may define the scratch server's first role anew, which therefore gets the
    /// name of the dump's own. Grants say by whom they were given, and only that role may give them all.
    async fn of_the_judge(&self, globals: &str) -> Result<Self, VerifyError> {
        self.administer(&foreign::create_judge()).await?;
        let mut login = self.login.clone();
        foreign::JUDGE.clone_into(&mut login.user);
        let court = Self { login, ..*self };
        let known = &self.scratch.plan.bootstrap_user;
        let bootstrap = bootstrap_of(globals, known);
        if bootstrap != *known {
            let renamed = foreign::rename_role(known, &bootstrap);
            court.administer(&renamed).await?;
        }
        Ok(court)
    }

    /// Why the roles cannot be made, when they cannot.
    async fn make_roles(&self, globals: &str) -> Result<Option<String>, VerifyError> {
        let mut plan = self.scratch.plan.clone();
        let bootstrap = bootstrap_of(globals, &plan.bootstrap_user);
        let filtered = filter_globals(globals, &bootstrap, plan.tablespaces());
        self.login.user.clone_into(&mut plan.bootstrap_user);
        let command = plan.globals_command(&self.scratch.application);
        let ran = self.scratch.run(self.context, command, Some(filtered.sql));
        let ran = ran.await?;
        self.scratch.expect_room(&ran)?;
        if ran.end().is_success() {
            return Ok(None);
        }
        if is_failure_of_psql(ran.code, &ran.stderr) {
            expect_success("could not make its roles", &ran)?;
        }
        Ok(Some(format!("its roles cannot be made: {}", said(&ran))))
    }
}

fn bootstrap_of(globals: &str, known: &str) -> String {
    find_bootstrap(globals, known).unwrap_or_else(|| NOBODY.to_owned())
}
