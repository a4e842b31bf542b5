//! The dead man's ping, as healthchecks and its like have it: `GET` the address means well, `POST` to `/fail` below it
//! means not.

use super::{Content, Outgoing, Refusal};
use crate::domain::failure::bounded;
use crate::domain::web::WebAddress;

/// The longest explanation that is sent along.
const LONGEST: usize = 3_500;

/// All is well. A `GET`, since that is what every such service takes.
pub fn well(address: &WebAddress) -> Outgoing {
    Outgoing {
        address: address.clone(),
        content: Content::Nothing,
    }
}

/// Something is not, and what.
pub fn failing(address: &WebAddress, why: &str) -> Outgoing {
    Outgoing {
        address: address.below("fail"),
        content: Content::Text(bounded(why, LONGEST)),
    }
}

/// Reads an answer.
///
/// # Errors
/// When the ping was not taken.
pub fn read(status: u16) -> Result<(), Refusal> {
    match status {
        200..=299 => Ok(()),
        404 | 410 => Err(Refusal::Permanent {
            why: format!("it answers {status}; is STACKWARDEN_PING_URL the address of a check?"),
        }),
        408 | 429 | 500.. => Err(Refusal::Transient {
            why: format!("it answers {status}"),
            wait_seconds: None,
        }),
        _ => Err(Refusal::Permanent {
            why: format!("it answers {status}"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_is_told_below_the_address_and_only_a_2xx_is_taken() {
        let address = WebAddress::parse("https://hc-ping.example/uuid").unwrap();
        assert_eq!(well(&address).content, Content::Nothing);
        let fail = failing(&address, "backup of postgres/app: no space");
        assert_eq!(fail.address.path().reveal(), "/uuid/fail");
        assert!(read(200).is_ok() && read(204).is_ok());
        assert!(matches!(read(302), Err(Refusal::Permanent { .. })));
        assert!(matches!(read(404), Err(Refusal::Permanent { .. })));
        assert!(matches!(read(503), Err(Refusal::Transient { .. })));
    }
}
