//! The few tags of the site's own pages, which are written in one way.

use anyhow::{Context, Result};

/// Text with each part from `open` to `close` as `by` has it.
pub fn replace_tags(html: &str, open: &str, close: &str, mut by: impl FnMut(&str) -> Result<String>) -> Result<String> {
    let (mut out, mut rest) = (String::with_capacity(html.len()), html);
    while let Some(start) = rest.find(open) {
        let length = rest[start..].find(close).with_context(|| format!("`{open}` has no end"))? + close.len();
        let (before, tag) = (&rest[..start], &rest[start..start + length]);
        out.push_str(before);
        out.push_str(&by(tag)?);
        rest = &rest[start + length..];
    }
    Ok(out + rest)
}

/// The value of an attribute.
pub fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    rest.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_replaced_one_by_one_and_what_is_between_them_stays() {
        let html = r#"a<img src="1" alt="">b<img alt="" src="2">c"#;
        let told = replace_tags(html, "<img ", ">", |tag| Ok(attribute(tag, "src").unwrap().to_owned())).unwrap();
        assert_eq!(told, "a1b2c");
        assert!(replace_tags("<img ", "<img ", ">", |tag| Ok(tag.to_owned())).is_err());
        assert_eq!(attribute("<img data-src=\"1\">", "src"), None);
    }
}
