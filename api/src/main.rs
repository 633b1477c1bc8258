//! The program `garner`.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use garner_api::allocator;
use garner_api::cli::{Cli, Command, StorageCommand, settings_table};
use garner_api::server::{self, ServeError};
use garner_api::tools;

/// Ingest and queries allocate and free across threads; mimalloc takes that at about half the CPU of the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    allocator::set_up();
    let result = match Cli::parse().command {
        Command::Serve(args) => server::serve(args, allocator::give_back_memory).map(|()| tools::CLEAN),
        Command::Settings => print_settings().map(|()| tools::CLEAN),
        Command::Fsck(args) => tools::fsck(args),
        Command::Storage {
            command: StorageCommand::Check(args),
        } => tools::storage_check(args),
        Command::Storage {
            command: StorageCommand::Sizes(args),
        } => tools::storage_sizes(args),
    };
    match result {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("garner: {error}");
            ExitCode::from(error.exit_status())
        }
    }
}

fn print_settings() -> Result<(), ServeError> {
    let table = settings_table()?;
    // A reader that has seen enough (`garner settings | head`) is no error.
    let _ = std::io::stdout().write_all(table.as_bytes());
    Ok(())
}
