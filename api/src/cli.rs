//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::{ConfigError, RawSettings, Settings};

/// Logs and metrics of many clusters, kept on one object store and answered in LogQL and PromQL.
#[derive(Debug, Parser)]
#[command(name = "garner", version, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server. Without arguments it listens on 127.0.0.1:3100 and keeps everything in ./garner-data.
    Serve(ServeArgs),
    /// Check everything in the object store: checksums, the catalog, orphans. Needs the server to be stopped.
    #[command(after_help = FSCK_HELP)]
    Fsck(FsckArgs),
    /// Tools for the object store.
    Storage {
        /// What to do with it.
        #[command(subcommand)]
        command: StorageCommand,
    },
    /// List every setting with its default, environment variable and meaning, as a Markdown table.
    Settings,
}

const FSCK_HELP: &str = "Exit status: 0 where nothing is wrong (orphans are no fault), 1 where faults were found, 2 for wrong \
                         arguments or settings, 3 where the check could not be done: a server holds the data folder, or the \
                         object store does not answer.";

/// What can be done with the object store.
#[derive(Debug, Subcommand)]
pub enum StorageCommand {
    /// Try the object store with the requests that garner sends, and say which settings fit. Writes and removes about
    /// twenty megabytes below v1/check/; a server may run meanwhile. Exit status: 0 where everything fits, 1 where not, 2 for wrong
    /// arguments or settings.
    Check(StoreArgs),
    /// Print what the bytes of the object store are spent on: pages, times, label sets, index, directories, by tenant, signal
    /// and level. Reads the tail of each live segment; a server may run meanwhile.
    Sizes(StoreArgs),
}

/// Flags that say where everything is kept.
#[derive(Debug, Default, Args)]
pub struct StoreArgs {
    /// Settings file (TOML)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder of the write-ahead log, and of everything where no object store is named [default: ./garner-data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// Where everything is kept: s3://bucket/prefix or file:///folder
    #[arg(long, value_name = "URL")]
    pub object_store: Option<String>,
}

impl StoreArgs {
    /// The flags as settings.
    pub fn raw_settings(self) -> RawSettings {
        RawSettings::default()
            .with_flag("storage.data_dir", "--data-dir", self.data_dir)
            .with_flag("object_store.url", "--object-store", self.object_store)
    }
}

/// Flags of `garner fsck`.
#[derive(Debug, Default, Args)]
pub struct FsckArgs {
    /// Where everything is kept.
    #[command(flatten)]
    pub store: StoreArgs,
    /// Make a new catalog from what is left of a damaged or lost one and from the segments themselves, then check. Stop
    /// every garner that uses the object store first
    #[arg(long)]
    pub rebuild: bool,
    /// Verify checksums only, instead of decoding every row as well
    #[arg(long)]
    pub quick: bool,
}

/// The table that `garner settings` prints, one block a section.
pub fn settings_table() -> Result<String, ConfigError> {
    let mut out = String::new();
    let mut section = "";
    for setting in Settings::declared()? {
        let own = setting.key.rsplit_once('.').map_or("", |(section, _)| section);
        if own != section {
            section = own;
            let gap = if out.is_empty() { "" } else { "\n" };
            out.push_str(&format!(
                "{gap}## [{section}]\n\n| setting | default | variables | what it does |\n|---|---|---|---|\n"
            ));
        }
        out.push_str(&setting.markdown_row());
        out.push('\n');
    }
    Ok(out)
}

/// Flags of `garner serve`. Each is stronger than its environment variable, which is stronger than the file.
#[derive(Debug, Default, Args)]
#[command(
    after_help = "Every setting is also an environment variable: [limits] max_line_size is \
                        GARNER_LIMITS_MAX_LINE_SIZE. docs/configuration.md lists all of them.\n\n\
                        Exit status: 0 after a clean stop, 1 when the server cannot start or go on, 2 for wrong \
                        arguments or settings."
)]
pub struct ServeArgs {
    /// Settings file (TOML)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address to serve on [default: 127.0.0.1:3100]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// Folder of the write-ahead log, and of everything where no object store is named [default: ./garner-data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// Where everything is kept: s3://bucket/prefix or file:///folder
    #[arg(long, value_name = "URL")]
    pub object_store: Option<String>,
}

impl ServeArgs {
    /// The flags as settings.
    pub fn raw_settings(self) -> RawSettings {
        RawSettings::default()
            .with_flag("server.listen", "--listen", self.listen)
            .with_flag("storage.data_dir", "--data-dir", self.data_dir)
            .with_flag("object_store.url", "--object-store", self.object_store)
    }
}
