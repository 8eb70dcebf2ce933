//! The machine under the daemon.

use std::fs;

use rustix::system;

/// The release of the running kernel.
pub(super) fn kernel() -> String {
    system::uname().release().to_string_lossy().into_owned()
}

/// The processor as the kernel calls it.
pub(super) fn processor() -> String {
    system::uname().machine().to_string_lossy().into_owned()
}

/// The machine's name.
pub(super) fn name() -> String {
    system::uname().nodename().to_string_lossy().into_owned()
}

/// The bytes of its memory.
pub(super) fn memory() -> u64 {
    let info = system::sysinfo();
    info.totalram.saturating_mul(u64::from(info.mem_unit).max(1))
}

/// The distribution's name and version: `Debian GNU/Linux 12 (bookworm)` and `12`.
pub(super) fn system() -> (String, String) {
    let text = fs::read_to_string("/etc/os-release").or_else(|_| fs::read_to_string("/usr/lib/os-release"));
    let text = text.unwrap_or_default();
    let name = os_release(&text, "PRETTY_NAME").unwrap_or_else(|| "Linux".to_owned());
    (name, os_release(&text, "VERSION_ID").unwrap_or_default())
}

/// An ID that is this machine's own, if it has one.
pub(super) fn id() -> String {
    fs::read_to_string("/etc/machine-id").unwrap_or_default().trim().to_owned()
}

/// How many files this process has open.
pub(super) fn open_files() -> u64 {
    fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as u64)
}

/// Spec: os-release(5).
fn os_release(text: &str, key: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='))?;
    let unquoted = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
    Some(unquoted.unwrap_or(value).replace('\\', ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_names_itself() {
        let text = "NAME=Debian\nVERSION_ID='12'\nPRETTY_NAME=\"Debian \\\"x\\\" 12\"\n";
        assert_eq!(os_release(text, "PRETTY_NAME").as_deref(), Some("Debian \"x\" 12"));
        assert_eq!(os_release(text, "VERSION_ID").as_deref(), Some("12"));
        assert_eq!(os_release(text, "NAME").as_deref(), Some("Debian"));
        assert_eq!(os_release(text, "VERSION"), None);
    }

    #[test]
    fn there_is_a_machine() {
        assert!(memory() > 1 << 20);
        assert!(open_files() > 0);
        assert!(!kernel().is_empty() && !processor().is_empty());
    }
}
