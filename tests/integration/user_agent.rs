//! A browser's treatment of a `Set-Cookie` header, step by step by RFC 6265bis (5.6 and 5.7), with
//! `Partitioned` (CHIPS) and the later prefixes. It is slow and obvious: the oracle of the tests.

/// A cookie as a browser stores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) name: String,
    pub(crate) value: String,
    /// `None`: only for the host that set it.
    pub(crate) domain: Option<String>,
    pub(crate) path: String,
    pub(crate) secure: bool,
    pub(crate) http_only: bool,
    /// In lower case; `None` if there was none.
    pub(crate) same_site: Option<String>,
    pub(crate) partitioned: bool,
    pub(crate) max_age: Option<i64>,
}

/// The request that is answered, or that is about to be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) host: &'a str,
    pub(crate) path: &'a str,
    pub(crate) is_tls: bool,
}

/// The cookie that a browser stores from a header, if any.
pub(crate) fn keep(set_cookie: &str, request: Request<'_>) -> Option<Kept> {
    let mut kept = parse(set_cookie, request)?;
    let is_refused = |name: &str, kept: &Kept| {
        let name = name.to_ascii_lowercase();
        let is_of_host = kept.domain.is_none() && kept.path == "/";
        (name.starts_with("__secure-") && !kept.secure)
            || (name.starts_with("__host-") && !(kept.secure && is_of_host))
            || (name.starts_with("__http-") && !(kept.secure && kept.http_only))
            || (name.starts_with("__host-http-") && !kept.http_only)
    };
    if kept.name.is_empty() && kept.value.is_empty() {
        return None;
    }
    if let Some(domain) = &kept.domain {
        if !domain.is_ascii() {
            return None;
        }
        if domain.is_empty() || (is_public_suffix(domain) && domain == request.host) {
            kept.domain = None;
        } else if is_public_suffix(domain) || !matches_domain(request.host, domain) {
            return None;
        }
    }
    if kept.secure && !request.is_tls {
        return None;
    }
    if !kept.secure && (kept.same_site.as_deref() == Some("none") || kept.partitioned) {
        return None;
    }
    // A cookie without a name must not pass for one with a prefix, so its value is checked too.
    let name = if kept.name.is_empty() { &kept.value } else { &kept.name };
    if is_refused(name, &kept) { None } else { Some(kept) }
}

fn parse(set_cookie: &str, request: Request<'_>) -> Option<Kept> {
    if set_cookie.bytes().any(|byte| byte == 0x7f || (byte < 0x20 && byte != b'\t')) {
        return None;
    }
    let space = [' ', '\t'];
    let mut parts = set_cookie.split(';');
    let pair = parts.next()?;
    let (name, value) = pair.split_once('=').unwrap_or(("", pair));
    let (name, value) = (name.trim_matches(space), value.trim_matches(space));
    if name.len() + value.len() > 4096 {
        return None;
    }
    let mut kept = Kept {
        name: name.into(),
        value: value.into(),
        domain: None,
        path: folder_of(request.path),
        secure: false,
        http_only: false,
        same_site: None,
        partitioned: false,
        max_age: None,
    };
    for part in parts {
        let (attribute, value) = part.split_once('=').unwrap_or((part, ""));
        let (attribute, value) = (attribute.trim_matches(space), value.trim_matches(space));
        if value.len() > 1024 {
            continue;
        }
        match attribute.to_ascii_lowercase().as_str() {
            "domain" => {
                kept.domain = Some(value.strip_prefix('.').unwrap_or(value).to_ascii_lowercase());
            }
            "path" if value.starts_with('/') => kept.path = value.into(),
            "path" => kept.path = folder_of(request.path),
            "secure" => kept.secure = true,
            "httponly" => kept.http_only = true,
            "samesite" => kept.same_site = Some(value.to_ascii_lowercase()),
            "partitioned" => kept.partitioned = true,
            "max-age" => kept.max_age = value.parse().ok(),
            _ => {}
        }
    }
    Some(kept)
}

impl Kept {
    /// Whether the cookie is sent with a request of the host's own pages.
    pub(crate) fn goes_to(&self, request: Request<'_>, set_by: &str) -> bool {
        let is_for_host = match &self.domain {
            Some(domain) => matches_domain(request.host, domain),
            None => request.host == set_by,
        };
        let rest = request.path.strip_prefix(&self.path);
        let is_for_path = rest.is_some_and(|rest| {
            rest.is_empty() || self.path.ends_with('/') || rest.starts_with('/')
        });
        is_for_host && is_for_path && (request.is_tls || !self.secure)
    }

    /// The cookie's part of the `Cookie` header (5.8.3).
    pub(crate) fn sent(&self) -> String {
        match self.name.is_empty() {
            true => self.value.clone(),
            false => format!("{}={}", self.name, self.value),
        }
    }
}

/// The path of a request for an address with this path, as browsers write it.
pub(crate) fn requested(path: &str) -> String {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let mut segments: Vec<String> = Vec::new();
    let mut is_folder = true;
    for segment in path.split('/').skip(1) {
        let dots = segment.to_ascii_lowercase().replace("%2e", ".");
        is_folder = matches!(dots.as_str(), "" | "." | "..");
        match dots.as_str() {
            "." => {}
            ".." => drop(segments.pop()),
            _ => segments.push(segment.bytes().map(escaped).collect()),
        }
    }
    match is_folder && segments.last().is_none_or(|last| !last.is_empty()) {
        true => format!("/{}/", segments.join("/")).replace("//", "/"),
        false => format!("/{}", segments.join("/")),
    }
}

fn escaped(byte: u8) -> String {
    match byte {
        b'!' | b'$'..=b';' | b'=' | b'@'..=b'[' | b']' | b'_' | b'a'..=b'z' | b'|' | b'~' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    }
}

fn folder_of(path: &str) -> String {
    match path.rsplit_once('/') {
        Some((folder, _)) if folder.starts_with('/') => folder.into(),
        _ => "/".into(),
    }
}

/// By the default rule of the public suffix list: the last label alone.
fn is_public_suffix(domain: &str) -> bool {
    !domain.contains('.')
}

fn matches_domain(host: &str, domain: &str) -> bool {
    let is_address = host.rsplit('.').next().is_some_and(|last| last.parse::<u32>().is_ok());
    host == domain || (!is_address && host.ends_with(&format!(".{domain}")))
}
