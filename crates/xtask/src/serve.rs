//! A small static file server for this machine alone: what any web server would do with the site, no special headers.

use std::fs::File;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Result, anyhow};
use tiny_http::{Header, Response, Server};

/// Serves a folder until the program is ended.
pub fn serve(folder: &Path, port: u16, open: bool) -> Result<()> {
    let server =
        Server::http(("127.0.0.1", port)).map_err(|error| anyhow!("port {port}: {error}; choose another with --port"))?;
    let port = server.server_addr().to_ip().map_or(port, |address| address.port());
    let url = format!("http://localhost:{port}/");
    println!("The page is at {url} (Ctrl-C ends it)");
    if open && !open_browser(&url) {
        println!("No browser could be opened: open that address in one.");
    }
    // A few threads, so that a slow download does not hold up the rest.
    let server = Arc::new(server);
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let (server, folder) = (Arc::clone(&server), folder.to_path_buf());
            std::thread::spawn(move || {
                for request in server.incoming_requests() {
                    let answered = match resolve(&folder, request.url()) {
                        Some((path, file)) => request.respond(Response::from_file(file).with_header(content_type(&path))),
                        None => request.respond(Response::from_string("There is no such file.").with_status_code(404)),
                    };
                    // A visitor who goes away in the middle is no error.
                    drop(answered);
                }
            })
        })
        .collect();
    for worker in workers {
        worker.join().map_err(|_| anyhow!("the server stopped unexpectedly"))?;
    }
    Ok(())
}

/// The file a request asks for; none outside the folder.
fn resolve(folder: &Path, url: &str) -> Option<(PathBuf, File)> {
    let path = url.split(['?', '#']).next().unwrap_or_default().trim_start_matches('/');
    let relative = Path::new(path);
    if !relative.components().all(|part| matches!(part, Component::Normal(_))) {
        return None;
    }
    let mut path = folder.join(relative);
    if path.is_dir() {
        path.push("index.html");
    }
    let file = File::open(&path).ok()?;
    Some((path, file))
}

fn content_type(path: &Path) -> Header {
    let kind = match path.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("wasm") => "application/wasm",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    };
    Header::from_bytes("Content-Type", kind).expect("a valid header")
}

fn open_browser(url: &str) -> bool {
    let (program, arguments): (&str, &[&str]) = if cfg!(target_os = "macos") {
        ("open", &[])
    } else if cfg!(target_os = "windows") {
        ("cmd", &["/C", "start", ""])
    } else {
        ("xdg-open", &[])
    };
    let started = Command::new(program).args(arguments).arg(url).stdout(Stdio::null()).stderr(Stdio::null()).status();
    started.is_ok_and(|status| status.success())
}
