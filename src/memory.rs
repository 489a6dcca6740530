//! How much memory the host has left for this process, and who says so.
//!
//! ```text
//! available = the least of  MemAvailable                       the system has no more without swapping
//!                           limit - in use, of each group      control groups, versions 2 and 1, up to the root
//!                           limit - size of the process        `ulimit -v`
//! ```
//!
//! Only Linux tells.

use std::fs;
use std::path::Path;

use crate::bytes::Bytes;

/// Memory that the host can still give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Available {
    /// How much.
    pub bytes: u64,
    /// What keeps it from being more.
    pub by: String,
}

/// Something of the host's memory was wanted that is not there. Nothing was taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the host has too little memory: {what} {needed}, and {} are available, by {}; close other programs, \
     or let the run take less",
    Bytes(available.bytes), available.by
)]
pub struct TooLittleMemory {
    /// What wants it, as the subject of a sentence that ends with how much: "the run holds".
    pub what: String,
    /// How much.
    pub needed: Bytes,
    /// What there is.
    pub available: Available,
}

/// What is available now; `None` where the system does not tell.
pub fn available() -> Option<Available> {
    least([free(), limited()])
}

/// What the system has now for whoever asks; `None` where it does not tell.
pub fn free() -> Option<Available> {
    of_system(&|path| fs::read_to_string(path).ok())
}

/// What the limits of this process and of its control groups leave it now; `None` where there are none.
pub fn limited() -> Option<Available> {
    let read = |path: &str| fs::read_to_string(path).ok();
    least([of_groups(&read), of_process(&read)])
}

/// Bytes of memory that the host has as a whole, whoever has them; `None` where the system does not tell.
pub fn installed() -> Option<u64> {
    of_host(&|path| fs::read_to_string(path).ok())
}

/// Refuses what the host cannot hold. `what` wants `bytes`.
///
/// # Errors
/// [`TooLittleMemory`], with both numbers.
pub fn check(what: &str, bytes: u64) -> Result<(), TooLittleMemory> {
    match available() {
        Some(available) if available.bytes < bytes => {
            Err(TooLittleMemory { what: what.into(), needed: Bytes(bytes), available })
        }
        _ => Ok(()),
    }
}

fn least(all: impl IntoIterator<Item = Option<Available>>) -> Option<Available> {
    all.into_iter().flatten().min_by_key(|available| available.bytes)
}

type Read<'a> = dyn Fn(&str) -> Option<String> + 'a;

fn of_system(read: &Read<'_>) -> Option<Available> {
    let kibibytes = field(&read("/proc/meminfo")?, "MemAvailable:")?;
    Some(Available { bytes: kibibytes * 1024, by: "the system".into() })
}

fn of_host(read: &Read<'_>) -> Option<u64> {
    field(&read("/proc/meminfo")?, "MemTotal:")?.checked_mul(1024)
}

/// The number after `name` in a list of lines.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The limits of the control groups that this process is in.
fn of_groups(read: &Read<'_>) -> Option<Available> {
    let groups = read("/proc/self/cgroup")?;
    let lines = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        match controllers {
            "" => Some(("/sys/fs/cgroup", ["memory.max", "memory.current"], ["inactive_file", "active_file"], path)),
            "memory" => Some((
                "/sys/fs/cgroup/memory",
                ["memory.limit_in_bytes", "memory.usage_in_bytes"],
                ["total_inactive_file", "total_active_file"],
                path,
            )),
            _ => None,
        }
    });
    least(lines.flat_map(|(root, names, cache, path)| {
        // Within a container the group may be named as the host sees it; the root is then its own.
        let groups = Path::new(path).ancestors().map(|group| group.display().to_string());
        groups.map(move |group| of_group(read, &format!("{root}{}", group.trim_end_matches('/')), names, cache))
    }))
}

fn of_group(read: &Read<'_>, folder: &str, [limit, used]: [&str; 2], cache: [&str; 2]) -> Option<Available> {
    let number = |name: &str| read(&format!("{folder}/{name}"))?.trim().parse::<u64>().ok();
    // `max` is no number and no limit; version 1 says so by one that is past all memory.
    let limit = number(limit).filter(|limit| *limit < 1 << 60)?;
    // What is kept of files that nobody needs goes first.
    let stat = read(&format!("{folder}/memory.stat")).unwrap_or_default();
    let spare: u64 = cache.iter().filter_map(|name| field(&stat, &format!("{name} "))).sum();
    let used = number(used).unwrap_or(0).saturating_sub(spare);
    Some(Available { bytes: limit.saturating_sub(used), by: format!("the control group's limit of {}", Bytes(limit)) })
}

fn of_process(read: &Read<'_>) -> Option<Available> {
    let limits = read("/proc/self/limits")?;
    let limit = field(&limits, "Max address space")?;
    let size = field(&read("/proc/self/status")?, "VmSize:")? * 1024;
    Some(Available {
        bytes: limit.saturating_sub(size),
        by: format!("the process's limit of {} (`ulimit -v`)", Bytes(limit)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(files: &[(&str, &str)]) -> Option<Available> {
        let read = |path: &str| files.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_string());
        least([of_system(&read), of_groups(&read), of_process(&read)])
    }

    const MEMINFO: (&str, &str) = ("/proc/meminfo", "MemTotal:  9000 kB\nMemAvailable:  4000 kB\n");

    #[test]
    fn the_host_has_what_the_system_counts_as_a_whole() {
        assert_eq!(of_host(&|path| (path == MEMINFO.0).then(|| MEMINFO.1.to_string())), Some(9000 << 10));
        assert_eq!(of_host(&|_| Some("MemAvailable:  4000 kB\n".into())), None);
        assert_eq!(of_host(&|_| None), None);
    }

    #[test]
    fn the_least_of_all_that_limit_is_told_with_its_source() {
        assert_eq!(with(&[]), None);
        let found = with(&[MEMINFO]).unwrap();
        assert_eq!((found.bytes, found.by.as_str()), (4000 << 10, "the system"));
        // Version 2: a group above the own one limits too, and cached files count as free.
        let nested = [
            MEMINFO,
            ("/proc/self/cgroup", "0::/a/b\n"),
            ("/sys/fs/cgroup/a/b/memory.max", "max\n"),
            ("/sys/fs/cgroup/a/memory.max", "2097152\n"),
            ("/sys/fs/cgroup/a/memory.current", "1048576\n"),
            ("/sys/fs/cgroup/a/memory.stat", "anon 5\ninactive_file 4000\nactive_file 96\n"),
        ];
        let found = with(&nested).unwrap();
        assert_eq!((found.bytes, found.by.as_str()), ((1 << 20) + 4096, "the control group's limit of 2 MiB"));
        // Version 1 has a number for no limit.
        let first = |limit| {
            with(&[
                MEMINFO,
                ("/proc/self/cgroup", "5:cpu:/x\n4:memory:/x\n"),
                ("/sys/fs/cgroup/memory/memory.limit_in_bytes", limit),
                ("/sys/fs/cgroup/memory/memory.usage_in_bytes", "1024"),
            ])
            .unwrap()
        };
        assert_eq!(first("2048").bytes, 1024);
        assert_eq!(first("9223372036854771712").by, "the system");
        // Used up, and not below.
        assert_eq!(first("512").bytes, 0);
        let process = [
            MEMINFO,
            ("/proc/self/limits", "Max address space         3145728              unlimited            bytes\n"),
            ("/proc/self/status", "VmSize:\t    1024 kB\n"),
        ];
        let found = with(&process).unwrap();
        assert_eq!((found.bytes, found.by.as_str()), (2 << 20, "the process's limit of 3 MiB (`ulimit -v`)"));
        let unlimited = ("/proc/self/limits", "Max address space         unlimited            unlimited   bytes\n");
        assert_eq!(with(&[MEMINFO, unlimited]).unwrap().by, "the system");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_no_host_has_is_refused_with_the_numbers() {
        assert!(available().is_some_and(|available| available.bytes > 1 << 20));
        assert_eq!(check("the run holds", 1), Ok(()));
        let refused = check("the run holds", u64::MAX).unwrap_err().to_string();
        assert!(refused.contains("the run holds 16777216 TiB") && refused.contains("are available, by "), "{refused}");
    }
}
