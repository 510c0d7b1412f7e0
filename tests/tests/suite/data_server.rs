//! A small HTTP server on the loopback interface that misbehaves on request.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// What the server does with one request.
#[derive(Debug, Clone, Copy)]
pub enum Answer {
    /// The file, or the range that is asked for.
    Serve,
    /// The whole file, whatever range is asked for.
    IgnoreRange,
    /// As [`Answer::Serve`], but the connection ends after so many bytes of the body.
    CutAfter(usize),
    /// As [`Answer::Serve`], with one bit wrong.
    Damage,
    /// Another text of this status.
    Status(u16),
    /// Nothing at all, for two seconds.
    Silence,
}

/// One request: its path and its `Range` header.
pub type Request = (String, Option<String>);

/// Serves one file's bytes under every path until it is dropped.
pub struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Answers the first request as `answers[0]` says, and so on; the last answer repeats.
    pub fn new(content: Vec<u8>, answers: &[Answer]) -> Self {
        let answers = answers.to_vec();
        Self::start(move |number, path| (content.clone(), answers[number.min(answers.len() - 1)], path))
    }

    /// Serves the files of a folder by their names.
    pub fn folder(folder: std::path::PathBuf) -> Self {
        Self::start(move |_, path| match std::fs::read(folder.join(path.trim_start_matches('/'))) {
            Ok(content) => (content, Answer::Serve, path),
            Err(_) => (Vec::new(), Answer::Status(404), path),
        })
    }

    fn start(mut answer: impl FnMut(usize, String) -> (Vec<u8>, Answer, String) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (seen, stopped) = (requests.clone(), stop.clone());
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(mut stream) = stream else { continue };
                stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                let Some((path, range)) = read_request(&stream) else { continue };
                let number = seen.lock().unwrap().len();
                seen.lock().unwrap().push((path.clone(), range.clone()));
                let (content, answer, _) = answer(number, path);
                // The other side may have hung up: that is its affair.
                let _ = respond(&mut stream, &content, answer, range.as_deref());
            }
        });
        Self { address, requests, stop, thread: Some(thread) }
    }

    /// Base URL, with a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// The `Range` headers of the requests.
    pub fn ranges(&self) -> Vec<Option<String>> {
        self.requests().into_iter().map(|(_, range)| range).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().unwrap().join();
    }
}

fn read_request(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let range = headers.iter().find_map(|line| line.to_lowercase().strip_prefix("range: ").map(str::to_owned));
    Some((path, range))
}

fn respond(stream: &mut TcpStream, content: &[u8], answer: Answer, range: Option<&str>) -> std::io::Result<()> {
    let from = range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()).unwrap_or(0);
    let mut body = content.to_vec();
    let from: usize = match answer {
        Answer::Status(status) => {
            let text = "<html>not what you want</html>";
            return write!(
                stream,
                "HTTP/1.1 {status} Whatever\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
                text.len()
            );
        }
        Answer::Silence => {
            thread::sleep(Duration::from_secs(2));
            return Ok(());
        }
        Answer::IgnoreRange => 0,
        Answer::Damage => {
            body[content.len() / 2] ^= 1;
            from
        }
        Answer::Serve | Answer::CutAfter(_) => from,
    };
    let (status, total) = (if from > 0 { "206 Partial Content" } else { "200 OK" }, content.len());
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n", total - from)?;
    if from > 0 {
        write!(stream, "Content-Range: bytes {from}-{}/{total}\r\n", total - 1)?;
    }
    write!(stream, "\r\n")?;
    let end = match answer {
        Answer::CutAfter(count) => (from + count).min(total),
        _ => total,
    };
    stream.write_all(&body[from..end])
}
