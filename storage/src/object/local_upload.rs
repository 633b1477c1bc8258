//! Objects that come in parts, in the local folder: a temporary file that grows part by part and gets its name at the end.

use std::io;
use std::path::PathBuf;

use async_trait::async_trait;
use hashbrown::HashMap;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{Error, MultipartId, PutPayload, PutResult, Result};
use parking_lot::Mutex;

use super::local::{DurableLocalStore, Inner, failed};
use crate::file::AppendFile;

/// The uploads under way.
#[derive(Debug, Default)]
pub(super) struct Uploads(Mutex<HashMap<String, Upload>>);

#[derive(Debug)]
struct Upload {
    temp: PathBuf,
    file: Box<dyn AppendFile>,
    /// Where each part ends. Parts come in order.
    ends: Vec<u64>,
}

fn unknown(id: &str) -> Error {
    Error::Generic {
        store: "local folder",
        source: format!("there is no upload {id}").into(),
    }
}

impl Upload {
    /// Appends part `index`. One that comes again (its answer was lost) replaces the bytes it brought before.
    fn put(&mut self, index: usize, payload: &PutPayload) -> io::Result<()> {
        if index > self.ends.len() {
            return Err(io::Error::other("parts of an upload came out of order"));
        }
        self.ends.truncate(index);
        let start = self.ends.last().copied().unwrap_or(0);
        self.file.truncate(start)?;
        payload.iter().try_for_each(|bytes| self.file.append(bytes))?;
        self.ends.push(start + payload.content_length() as u64);
        Ok(())
    }
}

impl Inner {
    fn begin_upload(&self) -> io::Result<String> {
        let (temp, file) = self.create_temp()?;
        let id = temp
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let upload = Upload {
            temp,
            file,
            ends: Vec::new(),
        };
        self.uploads.0.lock().insert(id.clone(), upload);
        Ok(id)
    }

    fn put_part(&self, location: &Path, id: &str, index: usize, payload: &PutPayload) -> Result<()> {
        // Out of the map while it is written: other uploads go on, and this one gets one part at a time.
        let mut upload = self.uploads.0.lock().remove(id).ok_or_else(|| unknown(id))?;
        let put = upload.put(index, payload);
        self.uploads.0.lock().insert(id.to_string(), upload);
        put.map_err(|e| failed(location, e))
    }

    fn complete_upload(&self, location: &Path, id: &str) -> Result<()> {
        let mut upload = self.uploads.0.lock().remove(id).ok_or_else(|| unknown(id))?;
        if let Err(error) = upload.file.sync() {
            self.remove_temp(&upload.temp);
            return Err(failed(location, error));
        }
        drop(upload.file);
        self.name(&upload.temp, location, false)
    }

    fn abort_upload(&self, id: &str) {
        let upload = self.uploads.0.lock().remove(id);
        if let Some(upload) = upload {
            self.remove_temp(&upload.temp);
        }
    }
}

#[async_trait]
impl MultipartStore for DurableLocalStore {
    async fn create_multipart(&self, path: &Path) -> Result<MultipartId> {
        let path = path.clone();
        self.blocking(move |store| store.begin_upload().map_err(|e| failed(&path, e)))
            .await
    }

    async fn put_part(&self, path: &Path, id: &MultipartId, part_idx: usize, data: PutPayload) -> Result<PartId> {
        let (path, id) = (path.clone(), id.clone());
        self.blocking(move |store| store.put_part(&path, &id, part_idx, &data))
            .await?;
        Ok(PartId {
            content_id: part_idx.to_string(),
        })
    }

    async fn complete_multipart(&self, path: &Path, id: &MultipartId, _: Vec<PartId>) -> Result<PutResult> {
        let (path, id) = (path.clone(), id.clone());
        self.blocking(move |store| store.complete_upload(&path, &id)).await?;
        Ok(PutResult {
            e_tag: None,
            version: None,
        })
    }

    async fn abort_multipart(&self, _: &Path, id: &MultipartId) -> Result<()> {
        let id = id.clone();
        self.blocking(move |store| {
            store.abort_upload(&id);
            Ok(())
        })
        .await
    }
}
