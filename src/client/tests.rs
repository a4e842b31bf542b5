use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, UnixListener};

use super::*;

const LIMITS: Limits = Limits {
    timeout: Duration::from_secs(5),
    body: ByteCount(1024),
};

/// Answers one connection with these bytes and returns what was asked.
async fn serve_once(listener: TcpListener, answer: &[u8]) -> String {
    let (mut stream, _peer) = listener.accept().await.unwrap();
    let mut asked = vec![0; 4096];
    let count = stream.read(&mut asked).await.unwrap();
    stream.write_all(answer).await.unwrap();
    String::from_utf8_lossy(&asked[..count]).into_owned()
}

async fn listen() -> (TcpListener, HttpTarget) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = HttpTarget {
        address: listener.local_addr().unwrap(),
        host: "localhost:8000".to_owned(),
        path: "/health?deep=1".to_owned(),
    };
    (listener, target)
}

#[tokio::test]
async fn a_probe_sends_the_host_it_was_given_and_reads_the_answer() {
    let (listener, target) = listen().await;
    let answer =
        b"HTTP/1.1 503 Busy\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
    let (asked, got) = tokio::join!(serve_once(listener, answer), http_get(target, LIMITS));
    assert!(
        asked.starts_with("GET /health?deep=1 HTTP/1.1\r\n"),
        "{asked}"
    );
    assert!(asked.contains("host: localhost:8000\r\n"), "{asked}");
    let got = got.unwrap();
    assert_eq!(
        (got.status, got.body.as_ref(), got.body_end),
        (503, &b"{}"[..], BodyEnd::Whole)
    );
    assert_eq!(got.content_type.as_deref(), Some("application/json"));
}

#[tokio::test]
async fn a_body_that_ends_with_the_connection_is_read_whole() {
    let (listener, target) = listen().await;
    let answer = b"HTTP/1.0 200 OK\r\n\r\nup and running";
    let (_asked, got) = tokio::join!(serve_once(listener, answer), http_get(target, LIMITS));
    assert_eq!(got.unwrap().body.as_ref(), b"up and running");
}

#[tokio::test]
async fn a_huge_body_is_cut_at_the_limit() {
    let (listener, target) = listen().await;
    let mut answer = b"HTTP/1.1 200 OK\r\ncontent-length: 9000\r\n\r\n".to_vec();
    answer.extend_from_slice(&[b'x'; 9000]);
    let (_asked, got) = tokio::join!(serve_once(listener, &answer), http_get(target, LIMITS));
    let got = got.unwrap();
    assert_eq!((got.body.len(), got.body_end), (1024, BodyEnd::Cut));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_an_error() {
    let (listener, target) = listen().await;
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf";
    let (_asked, got) = tokio::join!(serve_once(listener, answer), http_get(target, LIMITS));
    assert!(matches!(got, Err(ClientError::Broken { .. })), "{got:?}");
}

#[tokio::test]
async fn a_silent_server_is_given_up_in_time() {
    let (listener, target) = listen().await;
    let limits = Limits {
        timeout: Duration::from_millis(50),
        ..LIMITS
    };
    let got = http_get(target.clone(), limits).await;
    assert!(matches!(got, Err(ClientError::TimedOut { .. })), "{got:?}");
    tcp_connect(target.address, LIMITS.timeout).await.unwrap();
    // A socket that is bound and does not listen keeps the port from everybody else.
    let silent = TcpSocket::new_v4().unwrap();
    silent.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let refused = tcp_connect(silent.local_addr().unwrap(), LIMITS.timeout).await;
    assert!(
        matches!(refused, Err(ClientError::Connect { .. })),
        "{refused:?}"
    );
    drop(listener);
}

#[tokio::test]
async fn a_unix_socket_is_asked_the_same_way() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let request = HttpRequest {
        method: Method::Post,
        path: "/v1/backups".to_owned(),
        headers: vec![("authorization".to_owned(), "Bearer hunter2".to_owned())],
        body: Bytes::from_static(b"{}"),
    };
    assert!(!format!("{request:?}").contains("hunter2"));
    let server = async {
        let (mut stream, _peer) = listener.accept().await.unwrap();
        let mut asked = vec![0; 4096];
        let count = stream.read(&mut asked).await.unwrap();
        let answer = b"HTTP/1.1 202 Accepted\r\nlocation: /v1/jobs/7\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        String::from_utf8_lossy(&asked[..count]).into_owned()
    };
    let endpoint = Endpoint::Unix(path);
    let (asked, got) = tokio::join!(server, request_once(&endpoint, request, LIMITS));
    assert!(
        asked.starts_with("POST /v1/backups HTTP/1.1\r\n"),
        "{asked}"
    );
    let got = got.unwrap();
    assert_eq!(
        (got.status, got.location.as_deref()),
        (202, Some("/v1/jobs/7"))
    );
}

#[tokio::test]
async fn a_header_that_cannot_be_sent_is_refused_without_being_shown() {
    let request = HttpRequest {
        method: Method::Get,
        path: "/".to_owned(),
        headers: vec![("x".to_owned(), "hunter2\n".to_owned())],
        body: Bytes::new(),
    };
    let endpoint = Endpoint::Unix(PathBuf::from("/nowhere"));
    let error = request_once(&endpoint, request, LIMITS).await.unwrap_err();
    assert!(matches!(error, ClientError::RequestInvalid { .. }));
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}
