//! Sending bytes: a part, or a small file whole, each with its MD5, so that a store refuses what broke on its way.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_sdk_s3::types::CompletedPart;
use bytes::Bytes;
use futures_util::stream;
use http_body_util::StreamBody;
use hyper::body::Frame;
use md5::{Digest as _, Md5};

use super::connection::for_parts;
use super::source::{Piece, read_piece};
use super::{S3Error, S3Store, digest_of};
use crate::store::StoreError;

/// A part too large for memory is read in chunks of this size.
const CHUNK: u64 = 256 * 1024;

/// One part of an upload.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) key: String,
    pub(super) upload: String,
    pub(super) number: i32,
    pub(super) piece: Piece,
    pub(super) is_in_memory: bool,
}

/// Sends one part and gives what completing the upload has to name.
pub(super) async fn send_part(
    store: S3Store,
    part: Part,
    file: Arc<File>,
    path: PathBuf,
) -> Result<CompletedPart, S3Error> {
    let failed = |source| S3Error::File(StoreError::from_io("read", &path, source));
    let (digest, body) = if part.is_in_memory {
        in_memory(file, part.piece).await.map_err(failed)?
    } else {
        streamed(file, part.piece).await.map_err(failed)?
    };
    let sent = store
        .client()
        .upload_part()
        .bucket(store.bucket())
        .key(&part.key)
        .upload_id(&part.upload)
        .part_number(part.number)
        .content_length(i64::try_from(part.piece.length).unwrap_or(i64::MAX))
        .content_md5(digest)
        .body(body)
        .customize()
        .config_override(for_parts(store.inner.patience))
        .send()
        .await;
    let doing = "upload a part";
    let sent = sent.map_err(|error| store.failed(doing, &part.key, &error))?;
    let done = CompletedPart::builder().part_number(part.number);
    Ok(done.set_e_tag(sent.e_tag).build())
}

/// Sends a small file whole.
pub(super) async fn send_whole(store: &S3Store, key: &str, bytes: Bytes) -> Result<(), S3Error> {
    let put = store
        .client()
        .put_object()
        .bucket(store.bucket())
        .key(key)
        .content_md5(digest_of(&bytes))
        .body(ByteStream::from(bytes))
        .customize()
        .config_override(for_parts(store.inner.patience))
        .send();
    let put = put.await;
    put.map(drop)
        .map_err(|error| store.failed("write", key, &error))
}

async fn in_memory(file: Arc<File>, piece: Piece) -> io::Result<(String, ByteStream)> {
    let bytes = read_piece(file, piece).await?;
    let hashed = bytes.clone();
    let digest = tokio::task::spawn_blocking(move || digest_of(&hashed)).await;
    Ok((digest.map_err(io::Error::other)?, ByteStream::from(bytes)))
}

/// Reads it once for its digest; the body reads it again, and once more whenever it is sent again.
async fn streamed(file: Arc<File>, piece: Piece) -> io::Result<(String, ByteStream)> {
    let mut hash = Md5::new();
    let mut at = 0;
    while let Some(chunk) = chunk_at(piece, at) {
        let bytes = read_piece(Arc::clone(&file), chunk).await?;
        hash.update(&bytes);
        at += chunk.length;
    }
    let body = SdkBody::retryable(move || body_of(Arc::clone(&file), piece));
    let digest = aws_smithy_types::base64::encode(hash.finalize());
    Ok((digest, ByteStream::new(body)))
}

fn body_of(file: Arc<File>, piece: Piece) -> SdkBody {
    let frames = stream::unfold((file, 0), move |(file, at)| async move {
        let chunk = chunk_at(piece, at)?;
        let read = read_piece(Arc::clone(&file), chunk).await;
        Some((read.map(Frame::data), (file, at + chunk.length)))
    });
    SdkBody::from_body_1_x(StreamBody::new(frames))
}

/// The chunk of a piece that begins `at` bytes into it.
fn chunk_at(piece: Piece, at: u64) -> Option<Piece> {
    let length = piece.length.saturating_sub(at).min(CHUNK);
    (length > 0).then_some(Piece {
        offset: piece.offset + at,
        length,
    })
}
