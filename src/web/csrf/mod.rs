//! CSRF tokens for forms that are shown before there is a session: login, registration, a forgotten
//! password.
//!
//! Without a token in the login form, another site can log its visitors in under its own account,
//! and watch what they do there (login CSRF). A session for each view of the form would cost a
//! commit for every crawler. So the token is computed: the signed double submit of the OWASP CSRF
//! Prevention Cheat Sheet (ASVS 5.0, 3.5.1), bound to a random id in the visitor's cookie and
//! limited in time. Nothing is stored.
//!
//! A token is 8 bytes of time and 32 bytes of HMAC-SHA-256 over a label, that time and the key of
//! the id. So a token differs from view to view without a nonce, which stops BREACH. The id is in
//! the session's own cookie, since a second cookie would need the same settings. It never becomes a
//! session's: the login creates a session of its own. This file knows nothing of cookies or stores.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::key::SessionKey;
use crate::random::{RandomSource, SystemRandom};
use crate::session::id::SessionId;
use crate::time::clock::{Clock, SystemClock, Timestamp};

/// Distinguishes these tokens from other data that a program signs with the same secret.
const LABEL: &[u8] = b"sessile form token 1";
/// How far ahead the clock of the host that showed a form may be.
const SKEW_MS: u64 = 60_000;
const TIME_LEN: usize = 8;
const MAC_LEN: usize = 32;
const TOKEN_LEN: usize = TIME_LEN + MAC_LEN;
/// The block length of SHA-256; HMAC pads its key to one block.
const BLOCK_LEN: usize = 64;

/// The program's secret key, which signs form tokens.
///
/// # Security
///
/// Whoever knows the key can make tokens. `Debug` shows nothing of it, and it is overwritten in
/// memory when it is dropped. Copies that the compiler made on the stack are not.
///
/// # Examples
///
/// ```
/// use sessile::web::csrf::CsrfKey;
///
/// let key = CsrfKey::generate()?;
/// assert_eq!(format!("{key:?}"), "CsrfKey(..)");
///
/// // From the program's configuration, so that open forms survive a restart.
/// # let secret = [7; 32];
/// let key = CsrfKey::from_secret(&secret)?;
/// assert!(CsrfKey::from_secret(b"too short").is_err());
/// # Ok::<(), sessile::Error>(())
/// ```
#[derive(Clone)]
pub struct CsrfKey(Zeroizing<[u8; BLOCK_LEN]>);

impl CsrfKey {
    /// The shortest accepted secret, in bytes: as long as the digest (RFC 2104, 3).
    pub const MIN_LEN: usize = 32;

    /// Generates a key with the operating system's generator. After a restart of the program, forms
    /// from before it are refused, and work once they are loaded again. Several hosts behind one
    /// address need one key, from [`from_secret`](Self::from_secret): each refuses the forms of any
    /// other key.
    ///
    /// # Errors
    ///
    /// [`Error::Generator`] if the operating system gives no random bytes.
    pub fn generate() -> Result<Self> {
        Self::draw_from(&SystemRandom)
    }

    fn draw_from(source: &dyn RandomSource) -> Result<Self> {
        let mut secret = Zeroizing::new([0; Self::MIN_LEN]);
        source.fill(&mut *secret).map_err(|source| Error::Generator { source })?;
        Self::from_secret(&*secret)
    }

    /// Makes a key from the program's secret: at least [`MIN_LEN`](Self::MIN_LEN) random bytes,
    /// decoded from their text form. A changed secret invalidates every open form, and has no other
    /// effect.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for a shorter secret. The error does not repeat the secret.
    pub fn from_secret(secret: &[u8]) -> Result<Self> {
        let len = secret.len();
        if len < Self::MIN_LEN {
            let reason = format!(
                "has {len} bytes and needs at least {}; use `CsrfKey::generate`, or as many random \
                 bytes from your configuration",
                Self::MIN_LEN
            );
            return Err(Error::setting("secret", reason));
        }
        let mut block = Zeroizing::new([0; BLOCK_LEN]);
        match block.get_mut(..len) {
            Some(start) => start.copy_from_slice(secret),
            // HMAC digests a longer key (RFC 2104, 2).
            None => block.split_at_mut(MAC_LEN).0.copy_from_slice(&Sha256::digest(secret)),
        }
        Ok(Self(block))
    }

    /// Each part has a fixed length, so two different inputs never give the same bytes.
    fn mac(&self, shown_at: Timestamp, bound_to: SessionKey) -> Hmac<Sha256> {
        Hmac::<Sha256>::new((&*self.0).into())
            .chain_update(LABEL)
            .chain_update(shown_at.as_millis().to_be_bytes())
            .chain_update(bound_to.as_bytes())
    }
}

impl fmt::Debug for CsrfKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("CsrfKey(..)")
    }
}

/// Makes and checks tokens for forms before a login, without storing anything.
///
/// The example of [`web`](super) is a complete login page.
///
/// # Security
///
/// - Another site knows neither the visitor's id nor the key, so it has no valid token. A token
///   from its own visit is bound to another id.
/// - The id must be in a `__Host-` cookie, which is the default. An attacker who can plant a cookie
///   can plant an id with a matching token.
/// - A token reveals nothing about the id. It shows the time of its page view, to the millisecond:
///   two views of one visitor within a millisecond have the same token, all others differ.
/// - Until it is too old, a token is valid for every form of the program, any number of times. If
///   an action must happen only once, the program must ensure it.
///
/// # Examples
///
/// ```
/// use sessile::SessionId;
/// use sessile::web::csrf::{CsrfKey, StatelessCsrf};
///
/// let csrf = StatelessCsrf::new(CsrfKey::generate()?);
///
/// // GET: the id goes into the cookie, the token into the form.
/// let id = SessionId::generate()?;
/// let token = csrf.token(&id)?;
///
/// // POST: the id comes from the cookie, the token from the form.
/// assert!(csrf.verify(&id, &token));
/// assert!(!csrf.verify(&SessionId::generate()?, &token));
/// assert!(!csrf.verify(&id, "something else"));
/// # Ok::<(), sessile::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct StatelessCsrf {
    key: CsrfKey,
    max_age_ms: u64,
    clock: Arc<dyn Clock>,
}

impl StatelessCsrf {
    /// The length of a token, in characters.
    pub const TOKEN_LEN: usize = 54;

    /// Signs tokens with a key, and accepts them for an hour.
    #[must_use]
    pub fn new(key: CsrfKey) -> Self {
        Self { key, max_age_ms: 60 * 60 * 1000, clock: Arc::new(SystemClock) }
    }

    /// How long a form may stay open. Default: an hour, so that a tab left open over lunch still
    /// works. A form is refused once this time has passed; parts of a millisecond are cut off.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use sessile::SessionId;
    /// use sessile::testing::ManualClock;
    /// use sessile::web::csrf::{CsrfKey, StatelessCsrf};
    ///
    /// let clock = ManualClock::new();
    /// let csrf = StatelessCsrf::new(CsrfKey::generate()?)
    ///     .max_age(Duration::from_secs(600))
    ///     .clock(clock.clone());
    /// let id = SessionId::generate()?;
    /// let token = csrf.token(&id)?;
    ///
    /// clock.advance(Duration::from_secs(600));
    /// assert!(!csrf.verify(&id, &token));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[must_use]
    pub fn max_age(self, max_age: Duration) -> Self {
        Self { max_age_ms: u64::try_from(max_age.as_millis()).unwrap_or(u64::MAX), ..self }
    }

    /// Sets the source of the time. Default: [`SystemClock`].
    #[must_use]
    pub fn clock(self, clock: impl Clock) -> Self {
        Self { clock: Arc::new(clock), ..self }
    }

    /// Makes a token for a form; the client has this id in its cookie. A token is base64url text of
    /// [54 characters](Self::TOKEN_LEN), safe in HTML without escaping. Costs a few digests, and no
    /// disk access.
    ///
    /// # Errors
    ///
    /// [`Error::ClockOutOfRange`] if the clock shows a time before 1970.
    pub fn token(&self, id: &SessionId) -> Result<String> {
        let now = Timestamp::from_system_time(self.clock.now())?;
        let mac = self.key.mac(now, id.key()).finalize().into_bytes();
        let mut token = [0; TOKEN_LEN];
        let (time, rest) = token.split_at_mut(TIME_LEN);
        time.copy_from_slice(&now.as_millis().to_be_bytes());
        rest.copy_from_slice(&mac);
        Ok(URL_SAFE_NO_PAD.encode(token))
    }

    /// Whether a submitted text is a token for this id, signed with this key, and not too old. A
    /// malformed text is not a token.
    ///
    /// # Security
    ///
    /// The comparison takes the same time wherever the difference is (ASVS 5.0, 11.2.4), and comes
    /// before the check of the time. A token from up to a minute ahead is accepted: the clock of
    /// the host that showed the form may be fast. One from further ahead is refused: the clock has
    /// gone back, and loading the form again helps.
    #[must_use]
    pub fn verify(&self, id: &SessionId, submitted: &str) -> bool {
        let Some((shown_at, mac)) = decode(submitted) else { return false };
        if self.key.mac(shown_at, id.key()).verify_slice(&mac).is_err() {
            return false;
        }
        let Ok(now) = Timestamp::from_system_time(self.clock.now()) else { return false };
        let (now, shown_at) = (now.as_millis(), shown_at.as_millis());
        now.saturating_sub(shown_at) < self.max_age_ms && shown_at.saturating_sub(now) <= SKEW_MS
    }
}

/// The time and the signature of a token. Each token has exactly one spelling.
fn decode(submitted: &str) -> Option<(Timestamp, [u8; MAC_LEN])> {
    if submitted.len() != StatelessCsrf::TOKEN_LEN {
        return None;
    }
    let mut token = [0; TOKEN_LEN];
    URL_SAFE_NO_PAD.decode_slice(submitted, &mut token).ok()?;
    let (time, mac) = token.split_first_chunk()?;
    Some((Timestamp::from_millis(u64::from_be_bytes(*time)), mac.try_into().ok()?))
}

#[cfg(test)]
mod tests;
