//! Writing an object whose bytes come bit by bit, in bounded memory.

use bytes::Bytes;
use object_store::MultipartId;
use object_store::multipart::PartId;

use super::bucket::Bucket;
use crate::error::Result;

/// Bytes of each part but the last. S3 wants at least 5 MiB and takes 10,000 parts; some stores want them all of one
/// size.
const PART_BYTES: usize = 8 << 20;

/// An object on its way into the bucket. It becomes visible, as a whole, when [`ObjectWriter::finish`] returns; until then
/// it holds at most one part and what was given last in memory.
///
/// A small object is one PUT; a larger one is sent in parts. Parts of an object that is neither finished nor aborted (the
/// process died) are invisible and stay at the store until it removes them: a lifecycle rule that aborts incomplete
/// multipart uploads does, and so does the next start on a local folder.
#[derive(Debug)]
pub struct ObjectWriter {
    bucket: Bucket,
    path: String,
    part: Vec<u8>,
    len: u64,
    upload: Option<(MultipartId, Vec<PartId>)>,
}

impl ObjectWriter {
    /// Most bytes held besides those of one call to [`ObjectWriter::write`].
    pub const MAX_HELD_BYTES: u64 = PART_BYTES as u64;

    pub(super) fn new(bucket: Bucket, path: &str) -> Self {
        ObjectWriter {
            bucket,
            path: path.to_string(),
            part: Vec::new(),
            len: 0,
            upload: None,
        }
    }

    /// The object's path.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Bytes written so far: where the next ones will lie.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends `bytes`. After an error the object cannot be finished.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        self.len += bytes.len() as u64;
        while !bytes.is_empty() {
            let fit = (PART_BYTES - self.part.len()).min(bytes.len());
            let (now, rest) = bytes.split_at(fit);
            self.part.extend_from_slice(now);
            bytes = rest;
            // The last part may be short, so a full one waits until it is known not to be the only one.
            if self.part.len() == PART_BYTES && !bytes.is_empty() {
                self.send_part().await?;
            }
        }
        Ok(())
    }

    async fn send_part(&mut self) -> Result<()> {
        let part = Bytes::from(std::mem::take(&mut self.part));
        if self.upload.is_none() {
            self.upload = Some((self.bucket.begin_parts(&self.path).await?, Vec::new()));
        }
        if let Some((id, parts)) = &mut self.upload {
            let sent = self.bucket.put_part(&self.path, id, parts.len(), part).await?;
            parts.push(sent);
        }
        Ok(())
    }

    /// Makes the object durable and visible. On an error it is not known whether it is.
    pub async fn finish(mut self) -> Result<u64> {
        if self.upload.is_none() {
            let bytes = Bytes::from(std::mem::take(&mut self.part));
            self.bucket.put(&self.path, bytes).await?;
            return Ok(self.len);
        }
        if !self.part.is_empty() {
            self.send_part().await?;
        }
        if let Some((id, parts)) = self.upload.take() {
            self.bucket.finish_parts(&self.path, &id, parts, self.len).await?;
        }
        Ok(self.len)
    }

    /// Gives the object up. What was sent is removed where the store answers.
    pub async fn abort(mut self) {
        if let Some((id, _)) = self.upload.take() {
            self.bucket.abort_parts(&self.path, &id).await;
        }
    }
}
