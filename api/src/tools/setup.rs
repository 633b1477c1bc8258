//! What a tool works with: settings, a runtime, the bucket, and the data folder so that no server works on it meanwhile.

use std::sync::Arc;

use garner_storage::file::{DataFolder, OsFiles, SharedFiles};
use garner_storage::object::{Bucket, open_bucket};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::runtime::{Builder, Runtime};

use crate::cli::StoreArgs;
use crate::config::Settings;
use crate::server::{ServeError, read_settings, system};

/// See the module docs.
pub struct Setup {
    pub settings: Settings,
    pub runtime: Runtime,
    pub bucket: Bucket,
    /// Where objects are, for messages.
    pub url: String,
    /// Names this run.
    pub run: u128,
    files: SharedFiles,
}

impl Setup {
    /// Reads the settings and opens the bucket; asks the network nothing.
    pub fn new(args: StoreArgs) -> Result<Setup, ServeError> {
        let files: SharedFiles = Arc::new(OsFiles);
        let settings = read_settings(args.config.clone(), args.raw_settings(), &*files)?;
        let runtime = Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(system("starting threads"))?;
        let current = std::env::current_dir().map_err(system("asking for the current folder"))?;
        let of_bucket = settings.storage.bucket(&current);
        let run: u128 = rand::random();
        let bucket = open_bucket(&of_bucket, &files, runtime.handle().clone(), run as u64)?;
        Ok(Setup {
            settings,
            runtime,
            bucket,
            url: of_bucket.url,
            run,
            files,
        })
    }

    /// Holds the data folder where there is one; refused while a server does.
    pub fn lock(&self) -> Result<Option<DataFolder>, ServeError> {
        let path = &self.settings.storage.store.data_dir;
        // A tool makes no data folder on a machine that has none, such as an operator's.
        if !path.exists() {
            return Ok(None);
        }
        let mut rng = StdRng::seed_from_u64((self.run >> 64) as u64);
        Ok(Some(DataFolder::open(&self.files, path, &mut rng)?))
    }
}
