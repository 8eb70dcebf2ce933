use std::os::unix::fs::{PermissionsExt as _, symlink};

use tempfile::TempDir;

use super::*;

fn place(folder: &TempDir, dialect: Dialect) -> Place {
    Place { path: folder.path().join("config.json"), dialect }
}

fn file(text: &str, dialect: Dialect) -> Result<AuthFile, CredentialsError> {
    let folder = tempfile::tempdir().unwrap();
    let place = place(&folder, dialect);
    fs::write(&place.path, text).unwrap();
    AuthFile::read(&place).map(Option::unwrap)
}

fn bob(password: &str) -> AuthConfig {
    AuthConfig { username: "bob".into(), password: Secret::new(password), ..AuthConfig::default() }
}

#[test]
fn every_form_of_an_entry_is_read() {
    for (entry, want) in [
        (r#"{"auth":"Ym9iOnB3OjEy"}"#, Some(("bob", "pw:12", "", ""))),
        (r#"{"auth":"Ym9iOnB3"}"#, Some(("bob", "pw", "", ""))),
        (r#"{"auth":"Ym9iOg==","identitytoken":"keep"}"#, Some(("bob", "", "keep", ""))),
        (r#"{"auth":"Ym9iOg","email":"x"}"#, Some(("bob", "", "", ""))),
        (r#"{"username":"bob","password":"pw"}"#, Some(("bob", "pw", "", ""))),
        (r#"{"registrytoken":"now"}"#, Some(("", "", "", "now"))),
        (r#"{"auth":"","email":null}"#, None),
        ("{}", None),
        ("null", None),
    ] {
        let file = file(&format!(r#"{{"auths":{{"r.example":{entry}}}}}"#), Dialect::Docker).unwrap();
        let found = file.login(&Wanted::image("r.example/app")).unwrap();
        let found = found.as_ref().map(|login| {
            assert_eq!(login.serveraddress, "r.example");
            let secrets = [&login.password, &login.identitytoken, &login.registrytoken].map(Secret::expose);
            (&*login.username, secrets[0], secrets[1], secrets[2])
        });
        assert_eq!(found, want, "{entry}");
        assert!(file.login(&Wanted::image("other.example/app")).unwrap().is_none());
    }
}

#[test]
fn podmans_namespaces_come_before_their_registry() {
    // bob:all, bob:team
    let text = r#"{"auths":{"r.example":{"auth":"Ym9iOmFsbA=="},"r.example/team":{"auth":"Ym9iOnRlYW0="}}}"#;
    let file = file(text, Dialect::Containers).unwrap();
    let password = |name: &str| file.login(&Wanted::image(name)).unwrap().unwrap().password.expose().to_owned();
    assert_eq!(password("r.example/team/app:1"), "team");
    assert_eq!(password("r.example/teams/app"), "all");
    assert_eq!(password("r.example/app"), "all");
}

#[test]
fn what_makes_no_sense_is_told_without_being_quoted() {
    for (text, what) in [
        ("hidden", "it is no JSON object, at line 1, column 1"),
        ("[\"hidden\"]", "it is no JSON object, at line 1, column 0"),
        ("{\"auths\": {\"hidden", "it is no JSON object, at line 1, column 18"),
        ("{\"auths\":[\"hidden\"]}", "its `auths` is no object"),
        ("{\"auths\":{\"r.example\":{\"auth\":\"hidden%\"}}}", "the login for `r.example` in "),
        ("{\"auths\":{\"r.example\":{\"auth\":\"aGlkZGVu\"}}}", "the login for `r.example` in "),
        ("{\"auths\":{\"r.example\":{\"password\":{\"hidden\":1}}}}", "the login for `r.example` in "),
    ] {
        let told = match file(text, Dialect::Docker) {
            Ok(file) => file.login(&Wanted::image("r.example/app")).unwrap_err(),
            Err(error) => error,
        };
        let words = format!("{told} {told:?}");
        assert!(words.contains(what), "{words}");
        assert!(!words.contains("hidden"), "{words}");
    }
}

#[test]
fn a_registry_has_its_own_helper_or_that_of_all() {
    let text =
        r#"{"credsStore":"all","credHelpers":{"r.example":"own","https://plain.example":"","bad.example":"../x"}}"#;
    let file = file(text, Dialect::Docker).unwrap();
    let helper = |name: &str| file.helper(&Wanted::image(name)).map(|helper| helper.map(|it| it.program().to_owned()));
    assert_eq!(helper("r.example/app").unwrap().as_deref(), Some("docker-credential-own"));
    assert_eq!(helper("alpine").unwrap().as_deref(), Some("docker-credential-all"));
    assert_eq!(helper("plain.example/app").unwrap(), None);
    assert!(matches!(helper("bad.example/app"), Err(CredentialsError::BadHelper { .. })));
}

#[test]
fn a_login_is_put_into_a_new_file_of_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place { path: folder.path().join("new/folder/config.json"), dialect: Dialect::Docker };
    assert!(AuthFile::read(&place).unwrap().is_none());
    let mut file = AuthFile::empty(&place);
    file.put(&file.key(&Registry::hub()), Some(&bob("pw"))).unwrap();
    file.write().unwrap();
    let text = fs::read_to_string(&place.path).unwrap();
    let want =
        "{\n\t\"auths\": {\n\t\t\"https://index.docker.io/v1/\": {\n\t\t\t\"auth\": \"Ym9iOnB3\"\n\t\t}\n\t}\n}\n";
    assert_eq!(text, want);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&place.path), mode(place.path.parent().unwrap())), (0o600, 0o700));
    let read = AuthFile::read(&place).unwrap().unwrap().login(&Wanted::image("alpine")).unwrap().unwrap();
    assert_eq!((&*read.username, read.password.expose()), ("bob", "pw"));
}

#[test]
fn all_else_stays_and_links_stay_links() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(&folder, Dialect::Docker);
    fs::create_dir(folder.path().join("dotfiles")).unwrap();
    let real = folder.path().join("dotfiles/docker.json");
    symlink("link.json", &place.path).unwrap();
    symlink("dotfiles/docker.json", folder.path().join("link.json")).unwrap();
    let before = "{\n\t\"HttpHeaders\": {\"b\": 1.0, \"a\": [2]},\n\t\"auths\": {\n\t\t\"x.example\": {\"auth\": \"eDp5\", \"email\": \"e\"},\n\
        \t\t\"https://r.example/v2/\": {\"auth\": \"b2xkOm9sZA==\"}\n\t},\n\t\"psFormat\": \"{{.ID}}\"\n}\n";
    fs::write(&real, before).unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o644)).unwrap();
    let registry = Registry::named("r.example");
    let mut file = AuthFile::read(&place).unwrap().unwrap();
    let kept = AuthConfig { identitytoken: Secret::new("keep\"me"), ..bob("not kept") };
    file.put(&file.key(&registry), Some(&kept)).unwrap();
    file.write().unwrap();
    let entry = "{\n\t\t\t\"auth\": \"Ym9iOg==\",\n\t\t\t\"identitytoken\": \"keep\\\"me\"\n\t\t}";
    let want =
        before.replace("\"https://r.example/v2/\": {\"auth\": \"b2xkOm9sZA==\"}", &format!("\"r.example\": {entry}"));
    assert_eq!(fs::read_to_string(&real).unwrap(), want);
    assert_eq!(fs::read_link(&place.path).unwrap(), Path::new("link.json"));
    assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o7777, 0o600);
    let files = fs::read_dir(folder.path().join("dotfiles")).unwrap().count();
    assert_eq!(files, 1, "nothing is left beside it");

    let mut file = AuthFile::read(&place).unwrap().unwrap();
    assert!(file.take(&Wanted::all_of(&registry)).unwrap());
    assert!(!file.take(&Wanted::all_of(&registry)).unwrap());
    file.write().unwrap();
    let (head, _) = want.split_once(",\n\t\t\"r.example\"").unwrap();
    assert_eq!(fs::read_to_string(&real).unwrap(), format!("{head}\n\t}},\n\t\"psFormat\": \"{{{{.ID}}}}\"\n}}\n"));
}

#[test]
fn a_link_that_leads_nowhere_yet_is_filled_and_one_in_a_circle_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(&folder, Dialect::Containers);
    symlink("later.json", &place.path).unwrap();
    let mut file = AuthFile::empty(&place);
    file.put(&file.key(&Registry::hub()), None).unwrap();
    file.write().unwrap();
    assert_eq!(
        fs::read_to_string(folder.path().join("later.json")).unwrap(),
        "{\n\t\"auths\": {\n\t\t\"docker.io\": {}\n\t}\n}\n"
    );
    fs::remove_file(folder.path().join("later.json")).unwrap();
    symlink("config.json", folder.path().join("later.json")).unwrap();
    assert!(matches!(file.write(), Err(CredentialsError::Write { .. })));
}

#[test]
fn a_file_too_large_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(&folder, Dialect::Docker);
    File::create(&place.path).unwrap().set_len(MAX_FILE + 1).unwrap();
    let Err(CredentialsError::Read { source, .. }) = AuthFile::read(&place) else { panic!("it was read") };
    assert_eq!(source.kind(), io::ErrorKind::FileTooLarge);
    File::create(&place.path).unwrap();
    assert!(AuthFile::read(&place).unwrap().unwrap().login(&Wanted::image("alpine")).unwrap().is_none());
}
