//! Telegram's Bot API: `sendMessage` in HTML mode, and what its answers mean.

mod html;

use serde::{Deserialize, Serialize};

use super::{Content, Outgoing, Refusal};
use crate::domain::alarm::channel::{ChatId, TelegramAccess};
use crate::domain::failure::bounded;

pub use html::{Heading, alarm, test};

/// The longest answer of the API that is repeated.
const LONGEST: usize = 200;

#[derive(Serialize)]
struct SendMessage<'a> {
    chat_id: &'a str,
    text: &'a str,
    parse_mode: &'static str,
    link_preview_options: NoPreview,
}

#[derive(Serialize)]
struct NoPreview {
    is_disabled: bool,
}

/// A message for one chat.
pub fn message(access: &TelegramAccess, chat: &ChatId, html: &str) -> Outgoing {
    let bot = format!("bot{}", access.token.reveal());
    let body = SendMessage {
        chat_id: chat.as_str(),
        text: html,
        parse_mode: "HTML",
        link_preview_options: NoPreview { is_disabled: true },
    };
    Outgoing {
        address: access.api.below(&bot).below("sendMessage"),
        // Text alone cannot fail to become JSON.
        content: Content::Json(serde_json::to_string(&body).unwrap_or_default()),
    }
}

/// Asks whether the bot is one.
pub fn check(access: &TelegramAccess) -> Outgoing {
    let bot = format!("bot{}", access.token.reveal());
    Outgoing {
        address: access.api.below(&bot).below("getMe"),
        content: Content::Nothing,
    }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    ok: bool,
    #[serde(default)]
    description: String,
    #[serde(default)]
    parameters: Parameters,
}

#[derive(Deserialize, Default)]
struct Parameters {
    retry_after: Option<u64>,
}

/// Reads an answer of the API.
///
/// # Errors
/// When the message was not taken.
pub fn read(status: u16, body: &[u8]) -> Result<(), Refusal> {
    let answer: Option<Answer> = serde_json::from_slice(body).ok();
    if status == 200 && answer.as_ref().is_some_and(|it| it.ok) {
        return Ok(());
    }
    let said = answer.as_ref().map_or("", |it| it.description.as_str());
    let said = bounded(said, LONGEST);
    let why = match status {
        // A token of another shape is an unknown path.
        401 | 404 => format!("it does not know the bot ({status}); check TELEGRAM_BOT_TOKEN"),
        403 => format!("{said}; that person has to write to the bot first"),
        _ if said.is_empty() => format!("it answers {status}"),
        _ => said,
    };
    let wait_seconds = answer.and_then(|it| it.parameters.retry_after);
    if wait_seconds.is_some() || matches!(status, 200 | 408 | 429 | 500..) {
        return Err(Refusal::Transient { why, wait_seconds });
    }
    Err(Refusal::Permanent { why })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::database::secret::Secret;
    use crate::domain::web::WebAddress;

    #[test]
    fn a_message_is_posted_to_the_bots_own_path_and_never_shows_it() {
        let access = TelegramAccess {
            api: WebAddress::parse("https://api.telegram.org").unwrap(),
            token: Secret::new("12:hunter2".to_owned()),
            chats: ChatId::parse_list("-5").unwrap(),
        };
        let outgoing = message(&access, &access.chats[0], "<b>\"x\"</b>");
        let path = outgoing.address.path().reveal();
        assert_eq!(path, "/bot12:hunter2/sendMessage");
        let Content::Json(body) = &outgoing.content else {
            panic!()
        };
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["chat_id"], "-5");
        assert_eq!(body["parse_mode"], "HTML");
        assert_eq!(body["text"], "<b>\"x\"</b>");
        assert!(!format!("{outgoing:?} {access:?}").contains("hunter2"));
    }

    #[test]
    fn answers_say_whether_to_try_again_and_when() {
        assert_eq!(read(200, br#"{"ok":true,"result":{}}"#), Ok(()));
        let busy = br#"{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 7","parameters":{"retry_after":7}}"#;
        let Err(Refusal::Transient { wait_seconds, .. }) = read(429, busy) else {
            panic!()
        };
        assert_eq!(wait_seconds, Some(7));
        let blocked = br#"{"ok":false,"description":"Forbidden: bot was blocked by the user"}"#;
        let refused = read(403, blocked).unwrap_err();
        assert!(matches!(&refused, Refusal::Permanent { why } if why.contains("write to the bot")));
        assert!(
            read(401, b"{}")
                .unwrap_err()
                .why()
                .contains("TELEGRAM_BOT_TOKEN")
        );
        // A portal that answers 200 with a page of its own took nothing.
        assert!(matches!(
            read(200, b"<html>"),
            Err(Refusal::Transient { .. })
        ));
        assert!(matches!(
            read(502, b"bad gateway"),
            Err(Refusal::Transient { .. })
        ));
    }
}
