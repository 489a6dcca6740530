//! What was measured of a device, kept for the next run in a folder of the user's.
//!
//! One small file for each adapter and driver. A file that is damaged, that another probe wrote or that another
//! adapter left is as good as none, and a folder that cannot be written to keeps nothing: both are told to the
//! log, and neither ends a run.

use std::env;
use std::path::{Path, PathBuf};

use flate2::Crc;
use serde::{Deserialize, Serialize};

use super::super::date::today;
use super::measure;
use crate::device::Device;
use crate::error::Error;
use crate::plan::Rates;
use crate::storage::{check_regular, create_folder, read_stream, write_atomically};
use crate::target::{DeviceKind, Target};

/// Of the probe and of the model that its numbers are for: to be raised with any change of either, and with one of
/// the kernels that makes them faster or slower.
const PROBE: u32 = 11;

/// More bytes than any such file has.
const MOST_BYTES: u64 = 1 << 16;

/// What a device was found to reach, and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probed {
    /// Which probe it was that measured.
    pub probe: u32,
    /// The adapter.
    pub adapter: String,
    /// Its graphics API.
    pub backend: String,
    /// Its driver and the driver's version.
    pub driver: String,
    /// Processors that a software adapter had to compute on; 0 of any other adapter.
    pub processors: usize,
    /// The day, in universal time: `2026-02-03`.
    pub date: String,
    /// What it reaches.
    pub rates: Rates,
}

impl Probed {
    /// Measures `device`, now.
    ///
    /// # Errors
    /// Device errors; times that no device can have.
    pub fn measure(device: &Device) -> Result<Self, Error> {
        Ok(Self::of(device.target(), measure(device)?))
    }

    /// What was found of `target` today.
    fn of(target: &Target, rates: Rates) -> Self {
        let on_processors = target.device_kind == DeviceKind::Cpu;
        Self {
            probe: PROBE,
            adapter: target.name.clone(),
            backend: target.backend.clone(),
            driver: target.driver.clone(),
            processors: if on_processors { std::thread::available_parallelism().map_or(1, usize::from) } else { 0 },
            date: today(),
            rates,
        }
    }

    /// Whether both are of one device, by the same probe.
    fn is_of_one_device_with(&self, other: &Self) -> bool {
        let named = |of: &Self| (of.probe, of.adapter.clone(), of.backend.clone(), of.driver.clone(), of.processors);
        named(self) == named(other)
    }
}

/// Where what was measured is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    /// None where nothing is kept.
    folder: Option<PathBuf>,
}

impl Cache {
    /// One in `folder`, which is made when there is something to keep.
    pub fn at(folder: PathBuf) -> Self {
        Self { folder: Some(folder) }
    }

    /// The user's: `plimsoll` in `XDG_CACHE_HOME`, or else in the place that the system has for such files. Keeps
    /// nothing where the environment names no home.
    pub fn of_user() -> Self {
        Self { folder: user_folder(&|name| env::var_os(name).map(PathBuf::from)) }
    }

    /// The folder, which need not be there; none where nothing is kept.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// What is kept of `target`, unless its adapter, driver or number of processors is another now.
    pub fn find(&self, target: &Target) -> Option<Probed> {
        let wanted = Probed::of(target, Rates::assumed());
        let path = self.file(&wanted)?;
        let said = path.display();
        if !path.exists() {
            tracing::debug!(path = %said, "no probe of this device is kept");
            return None;
        }
        let read = check_regular(&path).and_then(|()| read_stream(&path, MOST_BYTES));
        let found: Probed = match read.map_err(Error::from).and_then(|bytes| parse(&bytes)) {
            Ok(found) => found,
            Err(reason) => {
                tracing::warn!(path = %said, %reason, "what is kept of a probe cannot be used");
                return None;
            }
        };
        if !found.is_of_one_device_with(&wanted) {
            tracing::warn!(path = %said, adapter = found.adapter, driver = found.driver, "a probe of another device");
            return None;
        }
        Some(found)
    }

    /// Keeps `probed` in place of what was kept of the same device.
    pub fn keep(&self, probed: &Probed) {
        let Some((folder, path)) = self.folder.as_ref().zip(self.file(probed)) else { return };
        let text = serde_json::to_string_pretty(probed).expect("names and numbers can be written") + "\n";
        match create_folder(folder).and_then(|()| write_atomically(&path, text.as_bytes())) {
            Ok(()) => tracing::info!(path = %path.display(), "kept what was probed"),
            Err(reason) => tracing::warn!(path = %path.display(), %reason, "what was probed is not kept"),
        }
    }

    /// What is kept of `device`, or what it is measured to reach now, which is then kept. `None` where that
    /// fails: a run does not need it.
    pub fn find_or_measure(&self, device: &Device) -> Option<Probed> {
        let known = self.find(device.target());
        known.or_else(|| match Probed::measure(device) {
            Ok(probed) => {
                self.keep(&probed);
                Some(probed)
            }
            Err(reason) => {
                tracing::warn!(%reason, "the device cannot be probed");
                None
            }
        })
    }

    /// The file of the device that `probed` tells of.
    fn file(&self, probed: &Probed) -> Option<PathBuf> {
        let Probed { adapter, backend, driver, processors, .. } = probed;
        let mut crc = Crc::new();
        crc.update(format!("{adapter}\n{backend}\n{driver}\n{processors}").as_bytes());
        Some(self.folder.as_ref()?.join(format!("rates-{:08x}.json", crc.sum())))
    }
}

/// Reads what [`Cache::keep`] wrote.
fn parse(bytes: &[u8]) -> Result<Probed, Error> {
    let damaged = |reason: String| Error::Input(format!("not what a probe leaves: {reason}"));
    let probed: Probed = serde_json::from_slice(bytes).map_err(|e| damaged(e.to_string()))?;
    probed.rates.checked().ok_or_else(|| damaged(format!("{:?} are numbers of no device", probed.rates)))?;
    Ok(probed)
}

/// Where the environment says that files go which can be made anew.
fn user_folder(variable: &dyn Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    // What is no absolute path is not to be heeded, as the specification of that variable has it.
    let absolute = |name: &str| variable(name).filter(|path| path.is_absolute());
    let system = if cfg!(target_os = "windows") {
        absolute("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        absolute("HOME").map(|home| home.join("Library/Caches"))
    } else {
        absolute("HOME").map(|home| home.join(".cache"))
    };
    absolute("XDG_CACHE_HOME").or(system).map(|folder| folder.join("plimsoll"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::storage::tests::Scratch;

    fn target() -> Target {
        Target::profile("lavapipe").unwrap()
    }

    /// A cache in a folder that is yet to be made, with what was probed of `target` in it.
    fn filled(scratch: &Scratch) -> (Cache, Probed, PathBuf) {
        let cache = Cache::at(scratch.path("of/user"));
        let probed = Probed::of(&target(), Rates { tile_terms: 12.5, ..Rates::assumed() });
        cache.keep(&probed);
        let file = cache.file(&probed).unwrap();
        (cache, probed, file)
    }

    #[test]
    fn what_is_kept_is_found_again_for_the_same_device_alone() {
        let scratch = Scratch::new();
        let (cache, probed, file) = filled(&scratch);
        assert_eq!(cache.find(&target()), Some(probed));
        assert!(file.starts_with(scratch.path("of/user")));
        for other in [
            Target { driver: "llvmpipe Mesa 99".into(), ..target() },
            Target { name: "another".into(), ..target() },
            Target { backend: "gl".into(), ..target() },
            Target { device_kind: DeviceKind::Discrete, ..target() },
        ] {
            assert_eq!(cache.find(&other), None, "{other:?}");
        }
        // As if both had the same checksum.
        let gl = Target { backend: "gl".into(), ..target() };
        fs::copy(&file, cache.file(&Probed::of(&gl, Rates::assumed())).unwrap()).unwrap();
        assert_eq!(cache.find(&gl), None);
    }

    #[test]
    fn a_newer_probe_takes_the_place_of_an_older_one() {
        let scratch = Scratch::new();
        let (cache, probed, file) = filled(&scratch);
        let newer = Probed { date: "2030-01-02".into(), rates: Rates::assumed(), ..probed.clone() };
        cache.keep(&newer);
        assert_eq!(cache.find(&target()), Some(newer));
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "and nothing is left beside it");
        cache.keep(&Probed { probe: PROBE + 1, ..probed });
        assert_eq!(cache.find(&target()), None, "of another probe, whose numbers are for another model");
    }

    #[test]
    fn a_damaged_file_is_as_good_as_none() {
        let scratch = Scratch::new();
        let (cache, probed, file) = filled(&scratch);
        let text = fs::read_to_string(&file).unwrap();
        let broken = [
            String::new(),
            "null".into(),
            text[..text.len() / 2].into(),
            text.replace("12.5", "\"many\""),
            text.replace("12.5", "-12.5"),
            text.replace("\"workgroups\": 2.0", "\"workgroups\": 0.0"),
            text.replace("\"date\"", "\"day\""),
            text.replace('{', "[").replace('}', "]"),
            " ".repeat(1 << 17) + &text,
        ];
        for broken in broken {
            assert_ne!(broken, text);
            fs::write(&file, &broken).unwrap();
            assert_eq!(cache.find(&target()), None, "{broken}");
        }
        fs::write(&file, [0xff, 0xfe, 0]).unwrap();
        assert_eq!(cache.find(&target()), None);
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        assert_eq!(cache.find(&target()), None);
        cache.keep(&probed);
        fs::remove_dir(&file).unwrap();
        cache.keep(&probed);
        assert_eq!(cache.find(&target()), Some(probed), "and what is probed next is kept in its place");
    }

    #[test]
    fn where_nothing_can_be_kept_nothing_is_and_no_one_is_bothered() {
        let scratch = Scratch::new();
        fs::write(scratch.path("file"), "not a folder").unwrap();
        let probed = Probed::of(&target(), Rates::assumed());
        for cache in [Cache::at(scratch.path("file")), Cache::at(scratch.path("file/below")), Cache { folder: None }] {
            assert_eq!(cache.find(&target()), None);
            cache.keep(&probed);
            assert_eq!(cache.find(&target()), None);
        }
        assert_eq!(fs::read_to_string(scratch.path("file")).unwrap(), "not a folder");
        assert_eq!(scratch.names(), ["file"]);
    }

    #[test]
    #[cfg(unix)]
    fn a_folder_that_may_only_be_read_keeps_what_it_had() {
        use std::os::unix::fs::PermissionsExt;
        let scratch = Scratch::new();
        let (cache, probed, file) = filled(&scratch);
        let folder = file.parent().unwrap();
        fs::set_permissions(folder, fs::Permissions::from_mode(0o555)).unwrap();
        let newer = Probed { date: "2030-01-02".into(), ..probed.clone() };
        cache.keep(&newer);
        // Who may write everywhere can write here as well.
        let found = cache.find(&target()).unwrap();
        assert!(found == probed || found == newer);
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(fs::read_dir(folder).unwrap().count(), 1);
    }

    #[test]
    fn the_users_folder_is_where_the_system_has_it() {
        let folder = |set: &[(&str, &str)]| {
            user_folder(&|name| set.iter().find(|(n, _)| *n == name).map(|(_, path)| PathBuf::from(path)))
        };
        let root = if cfg!(windows) { "C:\\" } else { "/" };
        let under = |path: &str| format!("{root}{path}");
        let all =
            |home: &str, cache: &str| folder(&[("HOME", home), ("LOCALAPPDATA", home), ("XDG_CACHE_HOME", cache)]);
        let home = all(&under("home"), "").unwrap();
        assert!(home.starts_with(under("home")) && home.ends_with("plimsoll"));
        assert_eq!(all(&under("home"), &under("cache")), Some(Path::new(&under("cache")).join("plimsoll")));
        assert_eq!(all(&under("home"), "not/absolute"), Some(home), "the specification has it left alone");
        assert_eq!(folder(&[]), None);
        #[cfg(target_os = "linux")]
        assert_eq!(folder(&[("HOME", "/h")]), Some("/h/.cache/plimsoll".into()));
    }
}
