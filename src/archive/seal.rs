//! Sealing a stream: plain bytes in, sealed bytes out, in pieces.

use std::fmt;
use std::io::{self, Write};
use std::sync::mpsc;

use age::Encryptor;
use age::stream::StreamWriter;
use bytes::Bytes;
use thiserror::Error;

use super::Recipients;

/// Why something could not be sealed; nothing of it may be stored then.
#[derive(Debug, Error)]
pub enum SealError {
    /// The keys do not go together.
    #[error("cannot seal for these recipients: {0}")]
    Recipients(String),
    /// The library.
    #[error("cannot seal")]
    Failed(#[source] io::Error),
}

/// Seals one file. It holds back less than 64 KiB, so that the last piece can be marked as such.
pub struct Sealer {
    writer: StreamWriter<Outbox>,
    /// What the writer has given since the last look; emptied at every call.
    sealed: mpsc::Receiver<Bytes>,
}

impl Sealer {
    /// Begins; every recipient alone can open it.
    ///
    /// # Errors
    /// When age does not take the recipients together.
    pub fn begin(recipients: &Recipients) -> Result<Self, SealError> {
        let refused = |error: age::EncryptError| SealError::Recipients(error.to_string());
        let encryptor = Encryptor::with_recipients(recipients.keys()).map_err(refused)?;
        let (sender, sealed) = mpsc::channel();
        let writer = encryptor
            .wrap_output(Outbox(sender))
            .map_err(SealError::Failed)?;
        Ok(Self { writer, sealed })
    }

    /// Seals the next bytes; gives what is ready.
    ///
    /// # Errors
    /// When the library fails.
    pub fn push(&mut self, plain: &[u8]) -> Result<Vec<Bytes>, SealError> {
        self.writer.write_all(plain).map_err(SealError::Failed)?;
        Ok(self.sealed.try_iter().collect())
    }

    /// Seals what is left and ends the file: without this it is a truncated one, which nobody opens to its end.
    ///
    /// # Errors
    /// When the library fails.
    pub fn finish(self) -> Result<Vec<Bytes>, SealError> {
        let Self { writer, sealed } = self;
        drop(writer.finish().map_err(SealError::Failed)?);
        Ok(sealed.try_iter().collect())
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Sealer")
    }
}

/// Where age writes to: it keeps its writer to itself, so what is written comes out at the other end.
struct Outbox(mpsc::Sender<Bytes>);

impl Write for Outbox {
    fn write(&mut self, sealed: &[u8]) -> io::Result<usize> {
        let sent = self.0.send(Bytes::copy_from_slice(sealed));
        sent.map_err(|_gone| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(sealed.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
