//! Files of the site: fetched with progress, checked, kept in the browser's cache.

use js_sys::{Array, Promise, Reflect, Uint8Array};
use riposte_protocol::{Asset, Event};
use sha2::{Digest, Sha256};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Cache, ReadableStream, ReadableStreamDefaultReader, Request, RequestCache, RequestInit, Response};

use crate::trouble::Trouble;
use crate::worker::{post, scope};

const CACHE: &str = "riposte";

/// The bytes of a file. `what` names it to the visitor; `fresh` passes over every cache.
pub async fn load(base: &str, asset: &Asset, what: &str, fresh: bool) -> Result<Vec<u8>, Trouble> {
    let url = format!("{base}{}", asset.path);
    let cache = open_cache().await;
    if let (Some(cache), false) = (&cache, fresh)
        && let Some(bytes) = cached(cache, &url).await
        && is_right(&bytes, asset)
    {
        return Ok(bytes);
    }
    let bytes = download(&url, asset, what, fresh).await?;
    if !is_right(&bytes, asset) {
        return Err(Trouble::retry(format!(
            "The file of {what} arrived damaged: its checksum is not the right one. If that happens again, the site\u{2019}s copy is broken."
        )));
    }
    if let Some(cache) = &cache {
        keep(cache, &url, &bytes).await;
    }
    Ok(bytes)
}

async fn download(url: &str, asset: &Asset, what: &str, fresh: bool) -> Result<Vec<u8>, Trouble> {
    let gone =
        |_| Trouble::retry(format!("Fetching {what} was cut short: the network went away. Check the connection and try again."));
    let init = RequestInit::new();
    if fresh {
        init.set_cache(RequestCache::Reload);
    }
    let request = Request::new_with_str_and_init(url, &init).map_err(gone)?;
    let response: Response = JsFuture::from(scope().fetch_with_request(&request)).await.map_err(gone)?.unchecked_into();
    if !response.ok() {
        let status = response.status();
        return Err(Trouble::retry(format!("The server did not give {what} (it answered {status} for {}).", asset.path)));
    }
    let mut bytes = Vec::with_capacity(asset.bytes as usize);
    let body: ReadableStream = response.body().ok_or_else(|| gone(JsValue::NULL))?;
    let reader: ReadableStreamDefaultReader = body.get_reader().unchecked_into();
    let mut reported = 0;
    loop {
        let chunk = JsFuture::from(reader.read()).await.map_err(gone)?;
        if Reflect::get(&chunk, &"done".into()).is_ok_and(|done| done.is_truthy()) {
            break;
        }
        let value: Uint8Array = Reflect::get(&chunk, &"value".into()).map_err(gone)?.unchecked_into();
        let start = bytes.len();
        bytes.resize(start + value.length() as usize, 0);
        value.copy_to(&mut bytes[start..]);
        let received = bytes.len() as u64;
        // A file longer than promised is wrong, whatever else it holds.
        if received > asset.bytes {
            break;
        }
        if received - reported > asset.bytes / 50 {
            reported = received;
            post(&Event::Download { what: what.to_owned(), received, total: asset.bytes });
        }
    }
    post(&Event::Download { what: what.to_owned(), received: asset.bytes, total: asset.bytes });
    Ok(bytes)
}

fn is_right(bytes: &[u8], asset: &Asset) -> bool {
    let digest = Sha256::digest(bytes);
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    hex == asset.sha256
}

/// None where the browser keeps none: an insecure address, a private window.
async fn open_cache() -> Option<Cache> {
    let caches = Reflect::get(&scope(), &"caches".into()).ok().filter(|caches| caches.is_object())?;
    let caches: web_sys::CacheStorage = caches.unchecked_into();
    settle(caches.open(CACHE)).await.map(JsCast::unchecked_into)
}

async fn cached(cache: &Cache, url: &str) -> Option<Vec<u8>> {
    let response: Response = settle(cache.match_with_str(url)).await?.dyn_into().ok()?;
    let buffer = settle(response.array_buffer().ok()?).await?;
    Some(Uint8Array::new(&buffer).to_vec())
}

/// Keeps a file, and drops older versions of it. A full cache is no trouble: the file is fetched again next time.
async fn keep(cache: &Cache, url: &str, bytes: &[u8]) {
    if let Some(keys) = settle(cache.keys()).await {
        for key in Array::from(&keys) {
            let request: Request = key.unchecked_into();
            if stem(&request.url()) == stem(url) {
                settle(cache.delete_with_request(&request)).await;
            }
        }
    }
    if let Ok(response) = Response::new_with_opt_js_u8_array(Some(&Uint8Array::from(bytes))) {
        settle(cache.put_with_str(url, &response)).await;
    }
}

/// An address up to the hash in its name: `.../mnist-train`.
fn stem(url: &str) -> &str {
    url.rsplit_once('-').map_or(url, |(stem, _)| stem)
}

async fn settle(promise: Promise) -> Option<JsValue> {
    JsFuture::from(promise).await.ok()
}
