//! The page's markup. Everything that is not written here goes through [`Text`], which escapes it.

use std::fmt::{self, Display, Formatter};

use crate::domain::unit::ByteCount;
use crate::http::wire::{
    BackupWire, BucketWire, CopiesWire, DatabaseWire, JobWire, ServiceWire, StackWire, VerifiedWire,
};

const STYLE: &str = include_str!("style.css");

/// How many ended jobs are shown.
const ENDED_JOBS: usize = 10;

/// The whole page.
pub(super) struct Page<'a>(pub &'a StackWire);

impl Display for Page<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let stack = self.0;
        let (project, verdict) = (Text(&stack.project), Text(&stack.verdict));
        write!(
            out,
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <meta http-equiv=\"refresh\" content=\"10\"><link rel=\"icon\" href=\"data:,\">\
             <title>{verdict}: {project}</title><style>{STYLE}</style></head><body>\n\
             <header><h1>{project}</h1>{}</header>\n<main>",
            Badge(&stack.verdict)
        )?;
        write_concerns(out, &stack.concerns)?;
        write_databases(out, &stack.databases)?;
        if let Some(bucket) = &stack.bucket {
            write_bucket(out, bucket)?;
        }
        write_services(out, &stack.services)?;
        write_jobs(out, &stack.jobs)?;
        write!(
            out,
            "</main>\n<footer>stackwarden {} · as of {} · runs since {}</footer></body></html>\n",
            Text(&stack.version),
            When(&stack.at),
            When(&stack.started_at)
        )
    }
}

fn write_concerns(out: &mut Formatter<'_>, concerns: &[String]) -> fmt::Result {
    if concerns.is_empty() {
        return Ok(());
    }
    out.write_str("<section class=\"concerns\"><h2>Needs attention</h2><ul>")?;
    for concern in concerns {
        write!(out, "<li>{}</li>", Text(concern))?;
    }
    out.write_str("</ul></section>\n")
}

fn write_databases(out: &mut Formatter<'_>, databases: &[DatabaseWire]) -> fmt::Result {
    out.write_str("<section><h2>Databases</h2>")?;
    if databases.is_empty() {
        return out.write_str("<p class=\"quiet\">None found that is backed up.</p></section>\n");
    }
    out.write_str(
        "<div class=\"wide\"><table><thead><tr><th>Database<th>Newest backup<th>Age<th>Level\
         <th>Size<th>Kept<th>Next run</tr></thead><tbody>",
    )?;
    for database in databases {
        write_database(out, database)?;
    }
    out.write_str("</tbody></table></div></section>\n")
}

fn write_bucket(out: &mut Formatter<'_>, bucket: &BucketWire) -> fmt::Result {
    let place = Text(&bucket.place);
    write!(out, "<p class=\"quiet\">{place}: ")?;
    match bucket.findings.as_slice() {
        [] => out.write_str("not tried yet")?,
        findings => write!(out, "{}", Text(&findings.join("; ")))?,
    }
    out.write_str("</p>\n")
}

fn write_database(out: &mut Formatter<'_>, database: &DatabaseWire) -> fmt::Result {
    let name = format!("{}/{}", database.service, database.database);
    write!(out, "<tr><th scope=\"row\">{}", Text(&name))?;
    match &database.newest {
        Some(newest) => {
            let age = database.age_seconds.map(Age);
            let size = ByteCount(newest.size_bytes);
            write!(out, "<td>{}<td>{}<td>", When(&newest.at), OrDash(age))?;
            write_level(out, newest, database.newest_verified.as_ref())?;
            write!(out, "<td>{size}")?;
        }
        None => out.write_str("<td colspan=\"4\"><span class=\"badge fail\">none yet</span>")?,
    }
    let next = database.next_run.as_deref().map(When);
    write!(out, "<td>{}<td>{}</tr>", database.kept, OrDash(next))?;
    if let Some(copies) = &database.s3 {
        write_copies(out, copies)?;
    }
    if let Some(error) = &database.last_error {
        let tried = OrDash(database.last_attempt.as_deref().map(When));
        let error = Text(error);
        write!(
            out,
            "<tr class=\"note\"><td colspan=\"7\">last attempt {tried} failed: {error}</tr>"
        )?;
    }
    Ok(())
}

fn write_copies(out: &mut Formatter<'_>, copies: &CopiesWire) -> fmt::Result {
    let verdict = match (copies.standing.as_deref(), copies.missing) {
        (Some("refuted"), _) => "fail",
        (Some("proven"), 0) => "pass",
        _ => "warn",
    };
    let standing = Text(copies.standing.as_deref().unwrap_or("none yet"));
    let level = Text(copies.level.as_deref().unwrap_or_default());
    let newest = OrDash(copies.newest.as_deref().map(When));
    write!(
        out,
        "<tr class=\"note\"><td colspan=\"7\">in the bucket: {newest} \
         <span class=\"badge {verdict}\">{standing}</span> {level}, {} kept",
        copies.kept
    )?;
    if copies.missing > 0 {
        write!(out, ", {} missing", copies.missing)?;
    }
    if let Some(error) = &copies.error {
        write!(out, ": {}", Text(error))?;
    }
    out.write_str("</tr>")
}

fn write_level(
    out: &mut Formatter<'_>,
    newest: &BackupWire,
    verified: Option<&VerifiedWire>,
) -> fmt::Result {
    let verdict = match newest.standing.as_str() {
        "proven" => "pass",
        "refuted" => "fail",
        _ => "warn",
    };
    let level = Text(newest.level.as_deref().unwrap_or_default());
    let standing = Text(&newest.standing);
    write!(
        out,
        "<span class=\"badge {verdict}\">{standing}</span> {level}"
    )?;
    if !newest.suspect.is_empty() {
        let reasons = newest.suspect.join("; ");
        write!(
            out,
            " <span class=\"badge warn\">suspect</span><br>{}",
            Text(&reasons)
        )?;
    }
    let first = newest.proof.as_ref().and_then(|it| it.differences.first());
    if let Some(difference) = first {
        write!(out, "<br>{}", Text(difference))?;
    }
    match verified.filter(|it| it.id != newest.id) {
        Some(verified) => {
            let (level, at) = (Text(&verified.level), When(&verified.at));
            write!(out, "<br>last proven ({level}): {at}")
        }
        None => Ok(()),
    }
}

fn write_services(out: &mut Formatter<'_>, services: &[ServiceWire]) -> fmt::Result {
    out.write_str("<section><h2>Services</h2>")?;
    if services.is_empty() {
        return out.write_str("<p class=\"quiet\">None seen yet.</p></section>\n");
    }
    out.write_str(
        "<div class=\"wide\"><table><thead><tr><th>Service<th>State<th>Why<th>Image\
         <th>Restarts</tr></thead><tbody>",
    )?;
    for service in services {
        let is_optional = service.importance == "optional";
        write!(
            out,
            "<tr><th scope=\"row\">{}{}<td>{}<td>{}<td>{}<td>{}</tr>",
            Text(&service.name),
            if is_optional { " (optional)" } else { "" },
            Badge(&service.verdict),
            Text(service.reason.as_deref().unwrap_or_default()),
            Text(&service.image),
            service.restarts
        )?;
    }
    out.write_str("</tbody></table></div></section>\n")
}

fn write_jobs(out: &mut Formatter<'_>, jobs: &[JobWire]) -> fmt::Result {
    out.write_str("<section><h2>Jobs</h2>")?;
    if jobs.is_empty() {
        return out.write_str("<p class=\"quiet\">None since the start.</p></section>\n");
    }
    let (open, ended): (Vec<_>, Vec<_>) = jobs.iter().rev().partition(|it| it.ended_at.is_none());
    out.write_str("<ul class=\"jobs\">")?;
    for job in open.into_iter().chain(ended.into_iter().take(ENDED_JOBS)) {
        write_job(out, job)?;
    }
    out.write_str("</ul></section>\n")
}

fn write_job(out: &mut Formatter<'_>, job: &JobWire) -> fmt::Result {
    let verdict = match job.state.as_str() {
        "succeeded" => "pass",
        "failed" => "fail",
        _ => "warn",
    };
    let moment = job.ended_at.as_deref().or(job.began_at.as_deref());
    let moment = moment.unwrap_or(&job.asked_at);
    write!(
        out,
        "<li><span class=\"badge {verdict}\">{}</span> {} of {}, {}",
        Text(&job.state),
        Text(&job.kind),
        Text(&job.subject),
        When(moment)
    )?;
    if let Some(seconds) = job.seconds {
        write!(out, ", {seconds:.1} s")?;
    }
    for part in job.parts.iter().filter(|part| part.outcome != "succeeded") {
        let (subject, detail) = (Text(&part.subject), Text(&part.detail));
        write!(out, "<br>{subject}: {detail}")?;
    }
    out.write_str("</li>")
}

/// Escapes what others wrote, for elements and attributes.
struct Text<'a>(&'a str);

impl Display for Text<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '&' => out.write_str("&amp;")?,
                '<' => out.write_str("&lt;")?,
                '>' => out.write_str("&gt;")?,
                '"' => out.write_str("&quot;")?,
                '\'' => out.write_str("&#39;")?,
                other => write!(out, "{other}")?,
            }
        }
        Ok(())
    }
}

/// A verdict, told by word and colour.
struct Badge<'a>(&'a str);

impl Display for Badge<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let word = Text(self.0);
        write!(out, "<span class=\"badge {word}\">{word}</span>")
    }
}

/// An instant, readable and exact.
struct When<'a>(&'a str);

impl Display for When<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let exact = Text(self.0);
        let shown = self.0.replace('T', " ").replace('Z', " UTC");
        write!(out, "<time datetime=\"{exact}\">{}</time>", Text(&shown))
    }
}

/// Seconds in the largest unit that says enough.
struct Age(u64);

impl Display for Age {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            seconds @ 0..=119 => write!(out, "{seconds} s"),
            seconds @ 120..=7_199 => write!(out, "{} min", seconds / 60),
            seconds @ 7_200..=172_799 => write!(out, "{} h", seconds / 3_600),
            seconds => write!(out, "{} days", seconds / 86_400),
        }
    }
}

struct OrDash<T>(Option<T>);

impl<T: Display> Display for OrDash<T> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(out),
            None => out.write_str("–"),
        }
    }
}
