use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::*;
use crate::domain::alarm::channel::ChatId;
use crate::domain::database::secret::Secret;

/// Answers one connection after the other and returns what was asked.
async fn serve(listener: TcpListener, answers: Vec<String>) -> Vec<String> {
    let mut asked = Vec::new();
    for answer in answers {
        let (mut stream, _peer) = listener.accept().await.unwrap();
        let mut request = vec![0; 8192];
        let count = stream.read(&mut request).await.unwrap();
        asked.push(String::from_utf8_lossy(&request[..count]).into_owned());
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
    asked
}

fn answer(status: u16, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\n\r\n{body}")
}

async fn listen() -> (TcpListener, WebAddress) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    (listener, WebAddress::parse(&address).unwrap())
}

fn messenger(api: WebAddress, chats: &str) -> Messenger {
    let access = TelegramAccess {
        api,
        token: Secret::new("1:hunter2".to_owned()),
        chats: ChatId::parse_list(chats).unwrap(),
    };
    Messenger::new(access, PathBuf::from("/none"), ProjectName::new("shop"))
}

const OK: &str = r#"{"ok":true}"#;

#[tokio::test]
async fn a_wish_to_be_left_alone_is_honoured_and_one_dead_chat_does_not_silence_the_others() {
    let (listener, api) = listen().await;
    let busy = r#"{"ok":false,"description":"Too Many Requests","parameters":{"retry_after":3}}"#;
    let blocked = r#"{"ok":false,"description":"Forbidden: bot was blocked by the user"}"#;
    let answers = vec![answer(429, busy), answer(200, OK), answer(403, blocked)];
    let messenger = messenger(api, "11,22");
    let begun = Instant::now();
    let (asked, delivery) = tokio::join!(
        serve(listener, answers),
        messenger.test(Timestamp::UNIX_EPOCH)
    );
    assert!(begun.elapsed() >= Duration::from_secs(3));
    assert_eq!(delivery.reached, 1);
    assert!(delivery.failures[0].starts_with("chat 22: Forbidden"));
    assert!(asked[0].starts_with("POST /bot1:hunter2/sendMessage HTTP/1.1\r\n"));
    assert!(!format!("{delivery:?}{messenger:?}").contains("hunter2"));
}

#[tokio::test(start_paused = true)]
async fn nobody_there_is_said_without_the_path_and_without_trying_every_chat() {
    let (listener, api) = listen().await;
    drop(listener);
    let delivery = messenger(api, "11,22,33").test(Timestamp::UNIX_EPOCH).await;
    assert_eq!((delivery.reached, delivery.failures.len()), (0, 1));
    assert!(delivery.failures[0].contains("cannot connect to 127.0.0.1:"));
    assert!(!delivery.failures[0].contains("hunter2"));
}

#[tokio::test]
async fn a_long_wish_to_be_left_alone_is_handed_on_instead_of_waited_for() {
    let (listener, api) = listen().await;
    let flood = r#"{"ok":false,"parameters":{"retry_after":3600}}"#;
    let messenger = messenger(api, "11");
    let (_asked, delivery) = tokio::join!(
        serve(listener, vec![answer(429, flood)]),
        messenger.test(Timestamp::UNIX_EPOCH)
    );
    assert_eq!(delivery.leave_alone, Some(Duration::from_hours(1)));
}

#[tokio::test]
async fn a_failing_ping_carries_the_reason_below_the_address() {
    let (listener, api) = listen().await;
    let pulse = Pulse::new(api.below("uuid"), PathBuf::from("/none"));
    let work = async {
        pulse.well().await.unwrap();
        pulse.failing("backup of postgres/app: full").await.unwrap();
    };
    let (asked, ()) = tokio::join!(
        serve(listener, vec![answer(200, "OK"), answer(200, "OK")]),
        work
    );
    assert!(asked[0].starts_with("GET /uuid HTTP/1.1\r\n"));
    assert!(asked[1].starts_with("POST /uuid/fail HTTP/1.1\r\n"));
    assert!(asked[1].ends_with("backup of postgres/app: full"));
}
