//! The element as a package for npm.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use riposte_spec::keys::KEYS;
use serde_json::{Value, json};

/// What no setting says: attributes of the element alone, each with what it means.
const ATTRIBUTES: [(&str, &str); 13] = [
    ("assets", "Folder of the package's files, where a bundler took the script away from them"),
    ("dataset", "Which images: digits, and what else the site was built with"),
    ("model", "Id of a classifier"),
    ("image", "test:7: a test image by its number"),
    ("preset", "The setup that the settings come from, such as f-mnist"),
    ("seed", "Seed of every random draw"),
    ("device", "auto, webgpu or cpu"),
    ("acts", "Which acts are shown: 1, 12, 123"),
    ("run", "Acts to run at once: 0 to 3"),
    ("controls", "all, run (the buttons that run an act) or none"),
    ("theme", "light or dark; otherwise the visitor's own"),
    ("hash", "off: keep the state out of the address"),
    ("from-address", "Take what no attribute says from the page's address"),
];

/// Makes the folder of a built site into a package: without its pages, with what editors and npm read.
pub fn make(root: &Path, site: &Path) -> Result<()> {
    for page in ["index.html", "course.html", "embed.html"] {
        let path = site.join(page);
        std::fs::remove_file(&path).with_context(|| path.display().to_string())?;
    }
    for (from, to) in [
        ("web/npm/README.md", "README.md"),
        ("web/npm/riposte-arena.d.ts", "riposte-arena.d.ts"),
        ("LICENSE-MIT", "LICENSE-MIT"),
        ("LICENSE-APACHE", "LICENSE-APACHE"),
    ] {
        std::fs::copy(root.join(from), site.join(to)).with_context(|| from.to_owned())?;
    }
    write(site, "package.json", &manifest())?;
    write(site, "custom-elements.json", &elements())
}

fn manifest() -> Value {
    json!({
        "name": "riposte-arena",
        "version": env!("CARGO_PKG_VERSION"),
        "description": "Attack an image classifier, watch it adapt itself to that one input and answer, then attack the adapting defense",
        "license": env!("CARGO_PKG_LICENSE"),
        "repository": env!("CARGO_PKG_REPOSITORY"),
        "keywords": ["adversarial-attacks", "adversarial-robustness", "custom-element", "webgpu"],
        "type": "module",
        "main": "riposte.js",
        "types": "riposte-arena.d.ts",
        "exports": { ".": { "types": "./riposte-arena.d.ts", "default": "./riposte.js" }, "./*": "./*" },
        // To load it is what defines the element.
        "sideEffects": true,
        "customElements": "custom-elements.json"
    })
}

/// The custom elements manifest, schema 1.0.0, that editors complete attributes from.
fn elements() -> Value {
    let of_element = ATTRIBUTES.iter().map(|(name, meaning)| json!({ "name": name, "description": meaning }));
    let settings =
        KEYS.iter().map(|key| json!({ "name": key.name, "description": key.help, "type": { "text": key.value_name } }));
    json!({
        "schemaVersion": "1.0.0",
        "modules": [{
            "kind": "javascript-module",
            "path": "riposte.js",
            "declarations": [{
                "kind": "class",
                "name": "RiposteArena",
                "customElement": true,
                "tagName": "riposte-arena",
                "superclass": { "name": "HTMLElement" },
                "attributes": of_element.chain(settings).collect::<Vec<_>>(),
                "events": [{ "name": "riposte", "type": { "text": "CustomEvent<RiposteRecord>" }, "description": "The record of an act that has ended" }]
            }],
            "exports": [{
                "kind": "custom-element-definition",
                "name": "riposte-arena",
                "declaration": { "name": "RiposteArena", "module": "riposte.js" }
            }]
        }]
    })
}

fn write(folder: &Path, name: &str, content: &Value) -> Result<()> {
    let text = serde_json::to_string_pretty(content)? + "\n";
    std::fs::write(folder.join(name), text).with_context(|| name.to_owned())?;
    ensure!(folder.join("riposte.js").is_file(), "{} is no built site", folder.display());
    Ok(())
}
