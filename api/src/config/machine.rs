//! How much memory there is: the machine's, or the cgroup's where that is less.

use std::path::Path;

use garner_storage::file::Files;

/// Taken where nothing can be read, as on other systems than Linux.
const FALLBACK_BYTES: u64 = 2 << 30;
/// Share of the machine that is garner's where `memory.limit` is 0: the rest is for the allocator's slack, code, network
/// buffers and the page cache of the WAL.
const DEFAULT_SHARE_PERCENT: u64 = 60;

/// What `memory.limit = 0` means here.
pub fn default_memory_limit_bytes(files: &dyn Files) -> u64 {
    let read = |path: &str| {
        let bytes = files.read(Path::new(path)).ok()?;
        String::from_utf8(bytes.to_vec()).ok()
    };
    let machine = read("/proc/meminfo").and_then(|text| meminfo_total_bytes(&text));
    let cgroup = [
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ]
    .iter()
    .find_map(|path| read(path)?.trim().parse::<u64>().ok());
    let available = match (machine, cgroup) {
        (Some(machine), Some(cgroup)) => machine.min(cgroup),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => FALLBACK_BYTES,
    };
    available / 100 * DEFAULT_SHARE_PERCENT
}

fn meminfo_total_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meminfo_gives_the_machines_memory() {
        let text = "MemTotal:        8040784 kB\nMemFree:          123456 kB\n";
        assert_eq!(meminfo_total_bytes(text), Some(8_040_784 * 1024));
        assert_eq!(meminfo_total_bytes("MemFree: 5 kB"), None);
    }
}
