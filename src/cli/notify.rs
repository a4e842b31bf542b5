//! `stackwarden notify test`: one message by each channel that is set up, sent from this very process.
//!
//! It asks no sidecar: what is tested is whether these settings reach people from this container's network.

use super::ExitStatus;
use super::arguments::Form;
use super::printer::Printer;
use crate::app::alarms::{self, Reached, Tested};
use crate::config::Settings;

/// Tests every channel.
pub(super) async fn test(settings: &Settings, form: Form, printer: &mut Printer) -> ExitStatus {
    let tested = alarms::test(settings).await;
    if tested.is_empty() {
        printer.problem(
            "no channel is set up; set TELEGRAM_BOT_TOKEN with ADMIN_TELEGRAM_IDS, or STACKWARDEN_PING_URL",
        );
        return ExitStatus::Usage;
    }
    match form {
        Form::Json => {
            let shown = tested.iter().map(|it| {
                serde_json::json!({
                    "channel": it.channel.as_str(), "outcome": word(it.reached), "detail": it.detail,
                })
            });
            printer.json(&shown.collect::<Vec<_>>());
        }
        Form::Text => tested.iter().for_each(|it| {
            let (channel, outcome) = (it.channel.as_str(), word(it.reached));
            printer.line(&format!("{channel}: {outcome}: {}", it.detail));
        }),
    }
    status(&tested)
}

fn word(reached: Reached) -> &'static str {
    match reached {
        Reached::All => "sent",
        Reached::Some => "sent in part",
        Reached::Nobody => "failed",
    }
}

fn status(tested: &[Tested]) -> ExitStatus {
    let all = |wanted| tested.iter().all(|it| it.reached == wanted);
    if all(Reached::All) {
        ExitStatus::Done
    } else if all(Reached::Nobody) {
        ExitStatus::Failed
    } else {
        ExitStatus::Partial
    }
}
