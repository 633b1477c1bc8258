//! [`DurableLocalStore`]: an object store in a local folder that keeps what it acknowledged through a power loss.
//!
//! object_store's own local store writes no file and no folder through to the disk. Here a put is: temporary file, bytes,
//! fsync; then rename (or hard link, which fails where the name exists, for conditional creates); then fsync of the
//! folder. All through [`Files`], so that tests can pull the plug between any two steps.
//!
//! ```text
//! <root>/.tmp/<n>              files being written; leftovers are removed at open
//! <root>/<object path>         one file an object
//! ```

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    Attributes, CopyMode, CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::local_upload::Uploads;
use crate::file::{AppendFile, FileInfo, SharedFiles};

const STORE: &str = "local folder";
/// Where files are written before they get their name. No object path of garner starts like this.
const TEMP_FOLDER: &str = ".tmp";

/// Objects as files below one folder. Cheap to clone.
#[derive(Clone)]
pub struct DurableLocalStore(Arc<Inner>);

pub(super) struct Inner {
    files: SharedFiles,
    root: PathBuf,
    next_temp: AtomicU64,
    pub(super) uploads: Uploads,
}

impl fmt::Debug for DurableLocalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DurableLocalStore({})", self.0.root.display())
    }
}

impl fmt::Display for DurableLocalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "file://{}", self.0.root.display())
    }
}

impl DurableLocalStore {
    /// Opens the folder, made where it is missing, and removes what an earlier process left half written. Blocks.
    pub fn open(files: SharedFiles, root: &FilePath) -> io::Result<Self> {
        let temp = root.join(TEMP_FOLDER);
        files.create_dir_all(&temp)?;
        for entry in files.list(&temp)? {
            if !entry.is_dir {
                files.remove(&temp.join(entry.name))?;
            }
        }
        Ok(DurableLocalStore(Arc::new(Inner {
            files,
            root: root.to_path_buf(),
            next_temp: AtomicU64::new(0),
            uploads: Uploads::default(),
        })))
    }

    /// Runs blocking file work off the async threads.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let inner = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || work(&inner)).await?
    }
}

impl Inner {
    /// The file of an object. The parts of a [`Path`] hold no separator and are never `..`.
    fn file(&self, location: &Path) -> PathBuf {
        location
            .parts()
            .fold(self.root.clone(), |file, part| file.join(part.as_ref()))
    }

    fn put(&self, location: &Path, payload: &PutPayload, create: bool) -> Result<()> {
        let temp = self.write_temp(payload).map_err(|e| failed(location, e))?;
        self.name(&temp, location, create)
    }

    /// Gives a durable temporary file its name. It is gone afterwards, whatever happens.
    pub(super) fn name(&self, temp: &FilePath, location: &Path, create: bool) -> Result<()> {
        let target = self.file(location);
        let parent = target.parent().unwrap_or(&self.root);
        let named = self.files.create_dir_all(parent).and_then(|()| match create {
            true => self.files.link(temp, &target),
            false => self.files.rename(temp, &target),
        });
        if create || named.is_err() {
            self.remove_temp(temp);
        }
        if let Err(error) = &named
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(failed(location, io::Error::new(error.kind(), error.to_string())));
        }
        // Also where the name existed: its own put may have failed at this very step, and who is told "exists" may take
        // the object for durable.
        self.files.sync_dir(parent).map_err(|e| failed(location, e))?;
        named.map_err(|source| Error::AlreadyExists {
            path: location.to_string(),
            source: source.into(),
        })
    }

    /// A durable file without a name of its own yet.
    fn write_temp(&self, payload: &PutPayload) -> io::Result<PathBuf> {
        let (path, mut file) = self.create_temp()?;
        let written = payload.iter().try_for_each(|bytes| file.append(bytes));
        match written.and_then(|()| file.sync()) {
            Ok(()) => Ok(path),
            Err(error) => {
                drop(file);
                self.remove_temp(&path);
                Err(error)
            }
        }
    }

    /// An empty file without a name of its own yet.
    pub(super) fn create_temp(&self) -> io::Result<(PathBuf, Box<dyn AppendFile>)> {
        loop {
            let number = self.next_temp.fetch_add(1, Ordering::Relaxed);
            let path = self.root.join(TEMP_FOLDER).join(number.to_string());
            match self.files.create_new(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                created => return Ok((path, created?)),
            }
        }
    }

    /// A leftover costs disk until the next open, nothing else.
    pub(super) fn remove_temp(&self, path: &FilePath) {
        if let Err(error) = self.files.remove(path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "cannot remove a temporary file");
        }
    }

    fn meta(&self, location: &Path) -> Result<ObjectMeta> {
        let info = self.files.info(&self.file(location)).map_err(|e| failed(location, e))?;
        if info.is_dir {
            return Err(failed(location, io::ErrorKind::NotFound.into()));
        }
        Ok(object_meta(location.clone(), &info))
    }

    fn get(&self, location: &Path, options: &GetOptions) -> Result<(ObjectMeta, Range<u64>, Bytes)> {
        let meta = self.meta(location)?;
        options.check_preconditions(&meta)?;
        let range = match &options.range {
            None => 0..meta.size,
            Some(GetRange::Bounded(range)) => range.start..range.end.min(meta.size),
            Some(GetRange::Offset(from)) => *from..meta.size,
            Some(GetRange::Suffix(n)) => meta.size.saturating_sub(*n)..meta.size,
        };
        if range.start > range.end || (options.range.is_some() && range.is_empty()) {
            let message = format!("{location}: range {range:?} of an object of {} bytes", meta.size);
            return Err(Error::NotSupported { source: message.into() });
        }
        let bytes = match options.head || range.is_empty() {
            true => Bytes::new(),
            false => {
                let read = self.files.read_range(&self.file(location), range.clone());
                read.map_err(|e| failed(location, e))?
            }
        };
        Ok((meta, range, bytes))
    }

    fn delete(&self, location: &Path) -> Result<()> {
        let target = self.file(location);
        self.files.remove(&target).map_err(|e| failed(location, e))?;
        let parent = target.parent().unwrap_or(&self.root);
        self.files.sync_dir(parent).map_err(|e| failed(location, e))
    }

    /// All objects below `prefix`, in path order.
    fn list(&self, prefix: &Path) -> Result<Vec<ObjectMeta>> {
        let mut out = Vec::new();
        let mut folders = vec![prefix.clone()];
        while let Some(folder) = folders.pop() {
            let (metas, inner) = self.list_folder(&folder)?;
            out.extend(metas);
            folders.extend(inner);
        }
        out.sort_by(|a, b| a.location.cmp(&b.location));
        Ok(out)
    }

    /// Objects and folders right below `folder`; none where there is no such folder.
    fn list_folder(&self, folder: &Path) -> Result<(Vec<ObjectMeta>, Vec<Path>)> {
        let entries = match self.files.list(&self.file(folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Default::default()),
            listed => listed.map_err(|e| failed(folder, e))?,
        };
        let (mut metas, mut folders) = (Vec::new(), Vec::new());
        for entry in entries {
            if folder.as_ref().is_empty() && entry.name == TEMP_FOLDER {
                continue;
            }
            // Names that no path of ours can have are somebody else's files.
            let Ok(part) = Path::parse(&entry.name) else { continue };
            let location: Path = folder.parts().chain(part.parts()).collect();
            if entry.is_dir {
                folders.push(location);
                continue;
            }
            match self.meta(&location) {
                Ok(meta) => metas.push(meta),
                // Removed since it was listed.
                Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok((metas, folders))
    }
}

fn object_meta(location: Path, info: &FileInfo) -> ObjectMeta {
    let since_epoch = Duration::from_nanos(u64::try_from(info.modified).unwrap_or(0));
    ObjectMeta {
        location,
        last_modified: (UNIX_EPOCH + since_epoch).into(),
        size: info.len,
        e_tag: None,
        version: None,
    }
}

pub(super) fn failed(location: &Path, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound => Error::NotFound {
            path: location.to_string(),
            source: error.into(),
        },
        io::ErrorKind::PermissionDenied => Error::PermissionDenied {
            path: location.to_string(),
            source: error.into(),
        },
        _ => Error::Generic {
            store: STORE,
            source: format!("{location}: {error}").into(),
        },
    }
}

fn not_implemented(operation: &str) -> Error {
    Error::NotImplemented {
        operation: operation.to_string(),
        implementer: STORE.to_string(),
    }
}

#[async_trait]
impl ObjectStore for DurableLocalStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let create = match options.mode {
            PutMode::Overwrite => false,
            PutMode::Create => true,
            PutMode::Update(_) => return Err(not_implemented("put with PutMode::Update")),
        };
        let location = location.clone();
        self.blocking(move |store| store.put(&location, &payload, create))
            .await?;
        Ok(PutResult {
            e_tag: None,
            version: None,
        })
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        // Parts come by `MultipartStore`.
        Err(not_implemented("multipart upload"))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let location = location.clone();
        let (meta, range, bytes) = self.blocking(move |store| store.get(&location, &options)).await?;
        Ok(GetResult {
            payload: GetResultPayload::Stream(futures::stream::once(async move { Ok(bytes) }).boxed()),
            meta,
            range,
            attributes: Attributes::new(),
        })
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        locations
            .and_then(move |location| {
                let store = store.clone();
                async move {
                    let deleted = location.clone();
                    store.blocking(move |store| store.delete(&location)).await?;
                    Ok(deleted)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix) = (self.clone(), prefix.cloned().unwrap_or_default());
        futures::stream::once(async move { store.blocking(move |store| store.list(&prefix)).await })
            .map_ok(|metas| futures::stream::iter(metas.into_iter().map(Ok)))
            .try_flatten()
            .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let prefix = prefix.cloned().unwrap_or_default();
        let (objects, common_prefixes) = self.blocking(move |store| store.list_folder(&prefix)).await?;
        Ok(ListResult {
            common_prefixes,
            objects,
        })
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let (from, to) = (from.clone(), to.clone());
        let create = matches!(options.mode, CopyMode::Create);
        self.blocking(move |store| {
            let (_, _, bytes) = store.get(&from, &GetOptions::default())?;
            store.put(&to, &bytes.into(), create)
        })
        .await
    }
}
