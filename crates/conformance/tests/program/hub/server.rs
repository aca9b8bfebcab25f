//! A hub on loopback: the requests that the hf-hub crate makes, answered from memory.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use proof_bundle::Digest;

/// A hub that is up until its test ends.
pub(crate) struct Server {
    address: String,
    shared: Arc<Mutex<Shared>>,
}

/// What is wrong with a hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Bodies of this file break off half-way.
    BreaksOff(&'static str),
    /// The same, and the connection stays.
    Stalls(&'static str),
    /// Bodies of this file have a byte changed.
    Corrupts(&'static str),
    /// Every request is answered with this status.
    Status(u16),
    /// Nothing is told beside the bodies.
    NoHeaders,
}

#[derive(Default)]
struct Shared {
    /// By repository and branch, tag or commit: the commit.
    revisions: BTreeMap<(String, String), String>,
    /// By commit and name.
    files: BTreeMap<(String, String), Vec<u8>>,
    /// Without this token nothing is told.
    token: Option<String>,
    flaw: Option<Flaw>,
    /// `PATH RANGE` of each.
    requests: Vec<String>,
}

struct Request {
    path: String,
    range: Option<(usize, Option<usize>)>,
    authorization: Option<String>,
}

impl Server {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let server = Self { address: address.clone(), shared: Arc::default() };
        let shared = Arc::clone(&server.shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (shared, address) = (Arc::clone(&shared), address.clone());
                std::thread::spawn(move || serve(stream, &shared, &address));
            }
        });
        server
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Publishes files as a commit that is a revision's latest.
    pub(crate) fn publish(&self, repository: &str, revision: &str, files: &[(&str, Vec<u8>)]) -> String {
        let mut shared = self.shared.lock().unwrap();
        let mut content = format!("{repository} {revision}").into_bytes();
        files.iter().for_each(|(name, bytes)| content.extend([name.as_bytes(), bytes].concat()));
        let commit = Digest::of(&content).to_string()[..40].to_owned();
        for name in [revision, &commit] {
            shared.revisions.insert((repository.to_owned(), name.to_owned()), commit.clone());
        }
        for (name, bytes) in files {
            shared.files.insert((commit.clone(), (*name).to_owned()), bytes.clone());
        }
        commit
    }

    pub(crate) fn require_token(&self, token: &str) {
        self.shared.lock().unwrap().token = Some(token.to_owned());
    }

    pub(crate) fn be(&self, flaw: Option<Flaw>) {
        self.shared.lock().unwrap().flaw = flaw;
    }

    /// The requests since the last time.
    pub(crate) fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.lock().unwrap().requests)
    }
}

fn serve(stream: TcpStream, shared: &Mutex<Shared>, address: &str) {
    let Some(request) = Request::read(&stream) else { return };
    let mut shared = shared.lock().unwrap();
    shared.requests.push(format!("{} {:?}", request.path, request.range));
    let (token, flaw) = (shared.token.clone(), shared.flaw.clone());
    if let Some(Flaw::Status(status)) = flaw {
        return respond(stream, status, "", b"");
    }
    // As with a hub's content network, an address of a blob is all that it takes.
    if let Some(digest) = request.path.strip_prefix("/blobs/") {
        let found = shared.files.iter().find(|(_, bytes)| Digest::of(bytes).to_string() == digest);
        let Some(((_, name), bytes)) = found.map(|(key, bytes)| (key.clone(), bytes.clone())) else {
            return respond(stream, 404, "", b"");
        };
        drop(shared);
        return send(stream, &request, flaw.as_ref(), &name, "", bytes);
    }
    if token.is_some_and(|token| request.authorization != Some(format!("Bearer {token}"))) {
        return respond(stream, 401, "", b"");
    }
    let Some((name, commit, bytes)) = shared.find(&request.path) else {
        return respond(stream, 404, "", b"");
    };
    drop(shared);
    let digest = Digest::of(&bytes).to_string();
    if flaw == Some(Flaw::NoHeaders) {
        respond(stream, 200, "", &bytes);
    } else if name.ends_with(".safetensors") {
        let told = format!(
            "X-Repo-Commit: {commit}\r\nX-Linked-Etag: \"{digest}\"\r\nLocation: {address}/blobs/{digest}\r\n"
        );
        respond(stream, 302, &told, b"");
    } else {
        let told = format!("X-Repo-Commit: {commit}\r\nETag: \"{}\"\r\n", &digest[..40]);
        send(stream, &request, flaw.as_ref(), &name, &told, bytes);
    }
}

impl Shared {
    /// `/OWNER/NAME/resolve/REVISION/FILE`: its name, commit and content.
    fn find(&self, path: &str) -> Option<(String, String, Vec<u8>)> {
        let (repository, rest) = path.strip_prefix('/')?.split_once("/resolve/")?;
        let (revision, name) = rest.split_once('/')?;
        let key = (repository.to_owned(), revision.replace("%2F", "/"));
        let commit = self.revisions.get(&key)?.clone();
        let bytes = self.files.get(&(commit.clone(), name.to_owned()))?.clone();
        Some((name.to_owned(), commit, bytes))
    }
}

impl Request {
    fn read(stream: &TcpStream) -> Option<Self> {
        let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
        let path = lines.next()?.split(' ').nth(1)?.to_owned();
        let mut request = Self { path, range: None, authorization: None };
        for line in lines.take_while(|line| !line.is_empty()) {
            let (name, value) = line.split_once(": ")?;
            match name.to_ascii_lowercase().as_str() {
                "range" => {
                    let (start, end) = value.strip_prefix("bytes=")?.split_once('-')?;
                    request.range = Some((start.parse().ok()?, end.parse().ok()));
                }
                "authorization" => request.authorization = Some(value.to_owned()),
                _ => {}
            }
        }
        Some(request)
    }
}

/// A file or the range of it that was asked for, as far as the flaw lets it.
fn send(
    mut stream: TcpStream,
    request: &Request,
    flaw: Option<&Flaw>,
    name: &str,
    told: &str,
    mut bytes: Vec<u8>,
) {
    let size = bytes.len();
    let (start, end) = request.range.unwrap_or((0, None));
    let end = end.map_or(size, |last| size.min(last + 1));
    if start >= size {
        return respond(stream, 416, "", b"");
    }
    if matches!(flaw, Some(Flaw::Corrupts(file)) if *file == name) {
        bytes[size - 1] ^= 1;
    }
    let body = &bytes[start..end];
    let told = format!("{told}Content-Range: bytes {start}-{}/{size}\r\n", end - 1);
    let stalls = matches!(flaw, Some(Flaw::Stalls(file)) if *file == name);
    let breaks_off = stalls || matches!(flaw, Some(Flaw::BreaksOff(file)) if *file == name);
    if !breaks_off || body.len() < 2 {
        return respond(stream, 206, &told, body);
    }
    let head = head(206, &told, body.len());
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body[..body.len() / 2]));
    if stalls {
        // Until the other side has gone.
        let _ = stream.read(&mut [0]);
    }
}

fn respond(mut stream: TcpStream, status: u16, told: &str, body: &[u8]) {
    let head = head(status, told, body.len());
    // A client that has gone needs no answer.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
}

fn head(status: u16, told: &str, length: usize) -> String {
    format!("HTTP/1.1 {status} Status\r\n{told}Content-Length: {length}\r\nConnection: close\r\n\r\n")
}
