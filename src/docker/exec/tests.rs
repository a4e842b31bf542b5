use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};

use super::*;

const WAIT: Duration = Duration::from_secs(5);

fn request(argv: &[&str]) -> ExecRequest {
    ExecRequest {
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        env: vec![("PGPASSWORD".to_owned(), "hunter2".to_owned())],
        user: None,
        stdin: StdinMode::Absent,
    }
}

fn frame(stream: u8, text: &str) -> Vec<u8> {
    let mut frame = vec![stream, 0, 0, 0];
    frame.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
    frame.extend(text.as_bytes());
    frame
}

async fn answer(stream: &mut TcpStream, head: &str, body: &[u8]) {
    let mut asked = vec![0; 8192];
    let count = stream.read(&mut asked).await.unwrap();
    assert!(count > 0);
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
}

async fn answer_json(listener: &TcpListener, body: &str) {
    let (mut stream, _peer) = listener.accept().await.unwrap();
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
    answer(&mut stream, &head, body.as_bytes()).await;
}

/// An engine on the wire that starts one exec, sends `output` and hangs up, then answers how it ended.
async fn engine(listener: TcpListener, output: Vec<u8>, ends: &[&str]) {
    answer_json(&listener, r#"{"Id":"e1"}"#).await;
    let (mut stream, _peer) = listener.accept().await.unwrap();
    let switched = "HTTP/1.1 101 UPGRADED\r\nconnection: Upgrade\r\nupgrade: tcp\r\n\r\n";
    answer(&mut stream, switched, &output).await;
    drop(stream);
    for end in ends {
        answer_json(&listener, end).await;
    }
}

async fn collect(output: Vec<u8>, ends: &[&str]) -> Result<ExecResult, DockerError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = format!("tcp://{}", listener.local_addr().unwrap());
    let docker = Docker::connect(Some(&host)).unwrap();
    let container = ContainerId::new("c1");
    let run = docker.exec_collect(&container, request(&["pg_dump"]), None, WAIT);
    tokio::select! {
        result = run => result,
        () = async { engine(listener, output, ends).await; std::future::pending().await } => unreachable!(),
    }
}

#[tokio::test]
async fn the_end_of_a_program_is_asked_for_until_the_engine_knows_it() {
    let output = [frame(1, "rows"), frame(2, "a note")].concat();
    let ends = [
        r#"{"Running":true,"ExitCode":null}"#,
        r#"{"Running":false,"ExitCode":3}"#,
    ];
    let result = collect(output, &ends).await.unwrap();
    assert_eq!(
        (result.code, result.stdout.as_str(), result.stderr.as_str()),
        (3, "rows", "a note")
    );
}

#[tokio::test]
async fn output_in_any_encoding_is_kept_to_the_byte() {
    let mut printed = frame(1, "caf?");
    *printed.last_mut().unwrap() = 0xe9;
    let ended = collect(printed, &[r#"{"Running":false,"ExitCode":0}"#]).await;
    let stdout = ended.unwrap().stdout;
    assert_eq!(raw_text::bytes(&stdout), b"caf\xe9");
}

#[tokio::test]
async fn a_stream_cut_within_a_frame_is_an_error_even_if_the_program_ended_well() {
    let whole = [frame(1, "rows"), frame(1, "more rows")].concat();
    for kept in [5, 11, 13, 17, 22] {
        let cut = whole.iter().copied().take(kept).collect();
        let result = collect(cut, &[r#"{"Running":false,"ExitCode":0}"#]).await;
        assert!(
            matches!(result, Err(DockerError::ExecCut { .. })),
            "{kept}: {result:?}"
        );
    }
}

#[tokio::test]
async fn a_program_that_outlives_its_output_was_cut_off() {
    let ends = [r#"{"Running":true,"ExitCode":null}"#; 100];
    let result = collect(frame(1, "rows"), &ends).await;
    assert!(
        matches!(result, Err(DockerError::ExecOutcomeUnknown { .. })),
        "{result:?}"
    );
}

#[tokio::test]
async fn a_program_the_engine_forgot_has_no_known_end() {
    let gone = "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}";
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = format!("tcp://{}", listener.local_addr().unwrap());
    let docker = Docker::connect(Some(&host)).unwrap();
    let server = async {
        let (mut stream, _peer) = listener.accept().await.unwrap();
        answer(&mut stream, gone, b"").await;
    };
    let id = ExecId("e1".to_owned());
    let (end, ()) = tokio::join!(docker.exec_end(&id, WAIT), server);
    assert!(matches!(end, Err(DockerError::ExecForgotten)), "{end:?}");
}

#[test]
fn secrets_of_a_request_and_its_output_are_not_shown() {
    let shown = format!("{:?}", request(&["psql"]));
    assert!(
        shown.contains("PGPASSWORD") && !shown.contains("hunter2"),
        "{shown}"
    );
    let result = ExecResult {
        code: 0,
        stdout: "hunter2".to_owned(),
        stderr: String::new(),
    };
    assert!(!format!("{result:?}").contains("hunter2"));
}

#[test]
fn both_codes_of_a_failed_start_mean_a_missing_program() {
    assert!(ExecEnd { code: 127 }.is_missing_program());
    assert!(ExecEnd { code: 126 }.is_missing_program());
    assert!(!ExecEnd { code: 1 }.is_missing_program());
}
