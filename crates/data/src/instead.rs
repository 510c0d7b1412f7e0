//! What lies in the place of a file that was asked for.

/// What `bytes` are, if they are one of the things that servers and tools leave in the place of a file: in words that follow "this is".
pub fn instead(bytes: &[u8]) -> Option<&'static str> {
    if bytes.is_empty() {
        return Some("an empty file; get it again");
    }
    let start = bytes.get(..1024).unwrap_or(bytes);
    let text = String::from_utf8_lossy(start).trim_start_matches('\u{feff}').trim_start().to_lowercase();
    if text.starts_with("<!doctype html") || text.starts_with("<html") || text.starts_with("<head") {
        return Some("a web page (HTML), as a server sends it in the place of a file; get the file again, or sign in first");
    }
    if text.starts_with("<?xml") {
        return Some("an XML document, as a server sends it when it refuses a file; get the file again");
    }
    if text.starts_with("version https://git-lfs") {
        return Some("a Git LFS pointer, and not the file that it points to: run `git lfs pull` where it comes from");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_and_pointers_are_told_from_files() {
        for (bytes, word) in [
            (&b"<!DOCTYPE html><html>"[..], "web page"),
            (b"\n\n<html lang=\"en\">", "web page"),
            (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
            (b"<?xml version=\"1.0\"?><Error>", "XML"),
            (b"", "empty"),
        ] {
            assert!(instead(bytes).unwrap().contains(word));
        }
        assert_eq!(instead(b"\x80\x02}q\x01"), None);
        assert_eq!(instead(&[0, 0, 8, 3]), None);
    }
}
