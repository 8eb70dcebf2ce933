//! A proxy inside the test: it forwards plain requests and opens tunnels, by HTTP or SOCKS, counts both, and sends the names it is told about where it is told.
//!
//! Names that lead nowhere else are how a test gives a registry on 127.0.0.1 a name of its own.

use std::collections::HashMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use base64::Engine as _;

/// A running proxy; dropping it closes its port.
pub struct Proxy {
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

struct Shared {
    address: SocketAddr,
    stopping: AtomicBool,
    routes: Mutex<HashMap<String, SocketAddr>>,
    /// The value of the header that it wants to see, if any.
    login: Mutex<Option<String>>,
    log: Mutex<Vec<Passed>>,
}

/// What went through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passed {
    /// A tunnel to `host:port`.
    Tunnel(String),
    /// A plain request for an address.
    Request(String),
    /// Something of somebody who did not show the right login.
    Refused,
}

impl Proxy {
    /// Starts a proxy that knows no names yet.
    ///
    /// # Errors
    /// No port of 127.0.0.1 or no thread can be had.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("listen on 127.0.0.1")?;
        let shared = Arc::new(Shared {
            address: listener.local_addr().context("listen on 127.0.0.1")?,
            stopping: AtomicBool::new(false),
            routes: Mutex::default(),
            login: Mutex::default(),
            log: Mutex::default(),
        });
        let accepting = Arc::clone(&shared);
        let listener = std::thread::Builder::new()
            .name("testkit-proxy".to_owned())
            .spawn(move || accept(&listener, &accepting))
            .context("start the thread of a proxy")?;
        Ok(Self { shared, listener: Some(listener) })
    }

    /// `http://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("http://{}", self.shared.address)
    }

    /// `socks5h://127.0.0.1:<port>`.
    pub fn socks_url(&self) -> String {
        format!("socks5h://{}", self.shared.address)
    }

    /// `http://user:password@127.0.0.1:<port>`, after which nobody else is let through.
    pub fn url_with_login(&self, user: &str, password: &str) -> String {
        let login = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        *lock(&self.shared.login) = Some(format!("Basic {login}"));
        format!("http://{user}:{password}@{}", self.shared.address)
    }

    /// Sends those who want to go to `authority`, a `host:port`, to a server of the test.
    pub fn route(&self, authority: &str, to: SocketAddr) {
        lock(&self.shared.routes).insert(authority.to_owned(), to);
    }

    /// All that went through, in order.
    pub fn passed(&self) -> Vec<Passed> {
        lock(&self.shared.log).clone()
    }

    /// How many tunnels were opened to `authority`.
    pub fn tunnels(&self, authority: &str) -> usize {
        let wanted = Passed::Tunnel(authority.to_owned());
        lock(&self.shared.log).iter().filter(|passed| **passed == wanted).count()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // Wakes the listening thread, which then ends.
        let _ = TcpStream::connect(self.shared.address);
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stopping.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let serving = Arc::clone(shared);
        // Without a thread the client sees its connection closed, and so do the tests.
        let _ = std::thread::Builder::new().name("testkit-tunnel".to_owned()).spawn(move || {
            // An error here is a side that went.
            let _ = serving.serve(stream);
        });
    }
}

impl Shared {
    fn serve(&self, client: TcpStream) -> io::Result<()> {
        client.set_nodelay(true)?;
        let mut reader = BufReader::new(client.try_clone()?);
        if reader.fill_buf()?.first() == Some(&5) {
            return self.serve_socks(reader, client);
        }
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim_end().to_owned();
            if line.is_empty() {
                break;
            }
            lines.push(line);
        }
        let words: Vec<&str> = lines.first().map(|line| line.split(' ').collect()).unwrap_or_default();
        let [method, target, _] = words[..] else { return answer(&client, "400 Bad Request") };
        let login = lines.iter().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("proxy-authorization").then(|| value.trim())
        });
        let wanted = lock(&self.login).clone();
        if wanted.is_some() && login != wanted.as_deref() {
            lock(&self.log).push(Passed::Refused);
            return answer(&client, "407 Proxy Authentication Required");
        }
        if method == "CONNECT" {
            lock(&self.log).push(Passed::Tunnel(target.to_owned()));
            let Some(server) = self.connect(target) else { return answer(&client, "502 Bad Gateway") };
            (&client).write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
            return carry(reader, client, server);
        }
        let Some((authority, path)) = target.strip_prefix("http://").and_then(|rest| rest.split_once('/')) else {
            return answer(&client, "400 Bad Request");
        };
        lock(&self.log).push(Passed::Request(target.to_owned()));
        let authority = if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") };
        let Some(mut server) = self.connect(&authority) else { return answer(&client, "502 Bad Gateway") };
        // One request a connection: the next one may be for another server.
        let mut head = format!("{method} /{path} HTTP/1.1\r\nConnection: close\r\n");
        for line in &lines[1..] {
            let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
            if name != "connection" && name != "proxy-authorization" {
                head.push_str(line);
                head.push_str("\r\n");
            }
        }
        server.write_all(format!("{head}\r\n").as_bytes())?;
        carry(reader, client, server)
    }

    /// The same for a client that speaks SOCKS, version 5, and leaves names to the proxy.
    ///
    /// Spec: RFC 1928.
    fn serve_socks(&self, mut reader: BufReader<TcpStream>, mut client: TcpStream) -> io::Result<()> {
        let mut greeting = [0; 2];
        reader.read_exact(&mut greeting)?;
        reader.read_exact(&mut vec![0; greeting[1].into()])?;
        // No login.
        client.write_all(&[5, 0])?;
        let mut head = [0; 5];
        reader.read_exact(&mut head)?;
        // The command to connect, and an address that is a name.
        if (head[1], head[3]) != (1, 3) {
            return client.write_all(&[5, 8, 0, 1, 0, 0, 0, 0, 0, 0]);
        }
        let mut name = vec![0; head[4].into()];
        reader.read_exact(&mut name)?;
        let mut port = [0; 2];
        reader.read_exact(&mut port)?;
        let authority = format!("{}:{}", String::from_utf8_lossy(&name), u16::from_be_bytes(port));
        lock(&self.log).push(Passed::Tunnel(authority.clone()));
        match self.connect(&authority) {
            Some(server) => {
                client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
                carry(reader, client, server)
            }
            None => client.write_all(&[5, 4, 0, 1, 0, 0, 0, 0, 0, 0]),
        }
    }

    fn connect(&self, authority: &str) -> Option<TcpStream> {
        let address = *lock(&self.routes).get(authority)?;
        TcpStream::connect(address).ok()
    }
}

fn answer(mut client: &TcpStream, status: &str) -> io::Result<()> {
    client.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").as_bytes())
}

/// Carries bytes both ways until both sides have said all.
fn carry(mut reader: BufReader<TcpStream>, client: TcpStream, server: TcpStream) -> io::Result<()> {
    let (mut to_server, mut from_server) = (server.try_clone()?, server);
    let mut to_client = client;
    let back = std::thread::Builder::new().name("testkit-tunnel".to_owned()).spawn(move || {
        let _ = io::copy(&mut from_server, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Both);
    })?;
    let _ = io::copy(&mut reader.by_ref(), &mut to_server);
    let _ = to_server.shutdown(Shutdown::Write);
    let _ = back.join();
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::{Passed, Proxy};
    use crate::http::get;
    use crate::registry::Registry;

    #[test]
    fn a_plain_request_goes_where_its_name_leads() {
        let (proxy, registry) = (Proxy::start().unwrap(), Registry::start().unwrap());
        proxy.route("r.test:80", registry.address());
        let at = |login: &[(&str, &str)]| get(proxy.shared.address, "http://r.test/v2/", login).unwrap().status;
        assert_eq!(at(&[]), 200);
        assert_eq!(get(proxy.shared.address, "http://other.test/v2/", &[]).unwrap().status, 502);
        proxy.url_with_login("bob", "secret");
        assert_eq!(at(&[]), 407);
        assert_eq!(at(&[("Proxy-Authorization", "Basic Ym9iOnNlY3JldA==")]), 200);
        let request = || Passed::Request("http://r.test/v2/".to_owned());
        let other = Passed::Request("http://other.test/v2/".to_owned());
        assert_eq!(proxy.passed(), [request(), other, Passed::Refused, request()]);
        assert_eq!(registry.requests().len(), 2);
    }
}
