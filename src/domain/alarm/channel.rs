//! What has to be known to reach people.

use std::fmt;

use thiserror::Error;

use crate::domain::database::secret::Secret;
use crate::domain::web::WebAddress;

/// A chat of Telegram: a number (a group's is negative), or a public channel's `@name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChatId(String);

/// Why a text is no list of chats.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ChatIdError {
    /// One of them.
    #[error(
        "{0:?} is no chat of Telegram; write numbers with commas, such as 123456789,-1001234567890"
    )]
    Shape(String),
    /// Nothing but commas.
    #[error("no chat is named; write numbers with commas, such as 123456789,-1001234567890")]
    Empty,
}

impl ChatId {
    /// Reads `123456789,-1001234567890,@channel`; one that is named twice counts once.
    ///
    /// # Errors
    /// The first that cannot be a chat.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, ChatIdError> {
        let mut chats = Vec::new();
        for word in text.split(',').map(str::trim).filter(|it| !it.is_empty()) {
            let is_name = word.strip_prefix('@').is_some_and(|name| {
                !name.is_empty()
                    && name
                        .chars()
                        .all(|it| it.is_ascii_alphanumeric() || it == '_')
            });
            if !is_name && word.parse::<i64>().is_err() {
                return Err(ChatIdError::Shape(word.to_owned()));
            }
            let chat = Self(word.to_owned());
            if !chats.contains(&chat) {
                chats.push(chat);
            }
        }
        if chats.is_empty() {
            return Err(ChatIdError::Empty);
        }
        Ok(chats)
    }

    /// As it is sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChatId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A bot and whom it writes to.
#[derive(Debug, Clone)]
pub struct TelegramAccess {
    /// The Bot API's server.
    pub api: WebAddress,
    /// The bot's token.
    pub token: Secret<String>,
    /// Whom it writes to; never empty.
    pub chats: Vec<ChatId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chats_are_numbers_or_names_of_channels() {
        let chats = ChatId::parse_list(" 12, -1001234567890,@ops_team,12,").unwrap();
        let shown: Vec<&str> = chats.iter().map(ChatId::as_str).collect();
        assert_eq!(shown, ["12", "-1001234567890", "@ops_team"]);
        assert_eq!(ChatId::parse_list(" ,"), Err(ChatIdError::Empty));
        for wrong in ["me", "1;2", "@", "1.5", "@a b"] {
            assert!(ChatId::parse_list(wrong).is_err(), "{wrong}");
        }
    }
}
