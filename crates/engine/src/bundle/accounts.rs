//! Who an image runs as: its user and groups, by its own `/etc/passwd` and `/etc/group`.
//!
//! The files are a stranger's. They are found inside the mounted root whatever links say, are read up to a bound, and lines that make no sense are
//! passed over.
//!
//! Spec: OCI image-spec 1.1, config.md, "User"; what it leaves open is as runc and docker have it.

use std::io::{self, Read as _};

use layer_fs::Dir;
use layer_fs::resolve::open_file_in_root;

use crate::EngineError;

/// Ten thousand accounts fit in.
const MAX_FILE: u64 = 1 << 20;

/// The largest number of a user or group that runtimes take.
const MAX_ID: u32 = i32::MAX.cast_unsigned();

/// A user, and the groups it is in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Further groups, in order, without the first.
    pub(super) groups: Vec<u32>,
}

/// Makes out `user`: nothing for root, a name or number, and behind a colon a group's.
pub(super) fn resolve(root: &Dir, user: &str) -> Result<Account, EngineError> {
    let failed = |reason: String| EngineError::User { user: user.to_owned(), reason };
    let read = |path: &str| read(root, path).map_err(|error| failed(format!("read `/{path}` of the image: {error}")));
    let passwd = read("etc/passwd")?;
    let group = read("etc/group")?;
    choose(user, &passwd, &group).map_err(failed)
}

/// A file of the image as text; empty if there is none.
fn read(root: &Dir, path: &str) -> io::Result<String> {
    let file = match open_file_in_root(root, path.as_bytes()) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it has more than {MAX_FILE} bytes")));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn choose(user: &str, passwd: &str, group: &str) -> Result<Account, String> {
    let (user, wanted_group) = match user.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (user, None),
    };
    let wanted = if user.is_empty() { "0" } else { user };
    // A name or a number, whichever line comes first.
    let line = users(passwd).find(|line| line.name == wanted || line.uid.to_string() == wanted);
    let mut account = match &line {
        Some(line) => Account { uid: line.uid, gid: line.gid, groups: Vec::new() },
        None => {
            let uid = number(wanted).ok_or_else(|| format!("its `/etc/passwd` has no user `{wanted}`"))?;
            Account { uid, ..Account::default() }
        }
    };
    match (wanted_group, line) {
        (Some(wanted), _) => {
            let found = groups(group).find(|line| line.name == wanted || line.gid.to_string() == wanted);
            account.gid = match found {
                Some(line) => line.gid,
                None => number(wanted).ok_or_else(|| format!("its `/etc/group` has no group `{wanted}`"))?,
            };
        }
        (None, Some(user)) => {
            let member = groups(group).filter(|line| line.members.split(',').any(|name| name == user.name));
            account.groups = member.map(|line| line.gid).filter(|gid| *gid != account.gid).collect();
            account.groups.sort_unstable();
            account.groups.dedup();
        }
        (None, None) => {}
    }
    Ok(account)
}

fn number(text: &str) -> Option<u32> {
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|id| is_plain && *id <= MAX_ID)
}

struct UserLine<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
}

struct GroupLine<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

fn users(passwd: &str) -> impl Iterator<Item = UserLine<'_>> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let (uid, gid) = (number(fields.nth(1)?)?, number(fields.next()?)?);
        Some(UserLine { name, uid, gid })
    })
}

fn groups(group: &str) -> impl Iterator<Item = GroupLine<'_>> {
    group.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let gid = number(fields.nth(1)?)?;
        Some(GroupLine { name, gid, members: fields.next().unwrap_or_default() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n# a comment\nbroken:x:y:z\n:x:7:7::/:\n\
                          app:x:1000:1001:App:/home/app:/bin/sh\n  spaced:x:1002:1002::/:\n55:x:1055:1055::/:\ntoo:x:4294967295:0::/:\n";
    const GROUP: &str = "root:x:0:root\nwheel:x:10:root,app\nstaff:x:50:app\napp:x:1001:app\nnobody\nagain:x:50:app\n";

    fn account(uid: u32, gid: u32, groups: &[u32]) -> Result<Account, String> {
        Ok(Account { uid, gid, groups: groups.to_vec() })
    }

    #[test]
    fn every_form_of_a_user_is_made_out() {
        for (user, want) in [
            ("", account(0, 0, &[10])),
            ("root", account(0, 0, &[10])),
            ("app", account(1000, 1001, &[10, 50])),
            ("1000", account(1000, 1001, &[10, 50])),
            ("app:", account(1000, 1001, &[10, 50])),
            ("app:staff", account(1000, 50, &[])),
            ("app:77", account(1000, 77, &[])),
            (":staff", account(0, 50, &[])),
            ("spaced", account(1002, 1002, &[])),
            ("4242", account(4242, 0, &[])),
            ("4242:10", account(4242, 10, &[])),
            // A name that is a number wins over the number, where its line comes first.
            ("55", account(1055, 1055, &[])),
        ] {
            assert_eq!(choose(user, PASSWD, GROUP), want, "{user}");
        }
    }

    #[test]
    fn what_can_not_be_made_out_is_said() {
        for (user, words) in [
            ("nobody", "has no user `nobody`"),
            ("broken", "has no user"),
            ("too", "has no user"),
            ("-1", "has no user"),
            ("+5", "has no user"),
            ("2147483648", "has no user"),
            ("app:none", "has no group `none`"),
            ("app:-1", "has no group"),
        ] {
            let error = choose(user, PASSWD, GROUP).unwrap_err();
            assert!(error.contains(words), "{user}: {error}");
        }
        assert_eq!(choose("", "", ""), account(0, 0, &[]));
        assert_eq!(choose("5:6", "", ""), account(5, 6, &[]));
    }

    #[test]
    fn files_are_read_inside_the_root_and_up_to_a_bound() {
        let tmp = tempfile::tempdir().unwrap();
        std::fs::write(tmp.path().join("passwd"), "evil:x:666:666::/:\n").unwrap();
        let path = tmp.path().join("root");
        std::fs::create_dir_all(path.join("etc")).unwrap();
        std::os::unix::fs::symlink("../../passwd", path.join("etc/passwd")).unwrap();
        let root = Dir::open(&path).unwrap();
        assert!(resolve(&root, "evil").unwrap_err().to_string().contains("has no user `evil`"));
        std::fs::write(path.join("passwd"), "good:x:5:5::/:\n").unwrap();
        assert_eq!(resolve(&root, "good").unwrap(), account(5, 5, &[]).unwrap());
        std::fs::write(path.join("etc/group"), vec![b'x'; 2 << 20]).unwrap();
        let error = resolve(&root, "good").unwrap_err().to_string();
        assert!(error.contains("read `/etc/group` of the image: it has more than"), "{error}");
    }
}
