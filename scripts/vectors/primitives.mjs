// Bytes and primitives of the envelope on SubtleCrypto alone, and how a check refuses.

const subtle = globalThis.crypto.subtle;

export class Refused extends Error {}
export const refuse = (at) => { throw new Refused(at); };
export const need = (condition, at) => { if (!condition) refuse(at); };
/** A value that differs from the one expected is never a refusal. */
export const agree = (condition, what) => { if (!condition) throw new Error(`${what} is not as expected`); };
/** Any failure of `action` refuses at this check. */
export const at = async (check, action) => {
  try { return await action(); } catch { return refuse(check); }
};

// Bytes
const encoder = new TextEncoder();
export const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
export const utf8 = (text) => encoder.encode(text);
export const concat = (...parts) => {
  const bytes = parts.map((part) => (typeof part === 'string' ? utf8(part) : Uint8Array.from(part)));
  const out = new Uint8Array(bytes.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of bytes) { out.set(part, offset); offset += part.length; }
  return out;
};
export const u32 = (n) => [n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255];
export const encode = (bytes) =>
  btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''))
    .replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
/** Canonical base64url only: the text must be the one that its bytes have. */
export const decode = (text) => {
  if (typeof text !== 'string' || !/^[A-Za-z0-9_-]*$/.test(text)) throw new Error('base64url');
  const binary = atob(text.replaceAll('-', '+').replaceAll('_', '/'));
  const bytes = Uint8Array.from(binary, (character) => character.charCodeAt(0));
  if (encode(bytes) !== text) throw new Error('base64url with unused bits');
  return bytes;
};
export const equal = (a, b) => a.length === b.length && a.every((byte, index) => byte === b[index]);
export const ZERO = encode(new Uint8Array(32));

// Primitives
export const sha = async (...parts) => new Uint8Array(await subtle.digest('SHA-256', concat(...parts)));
export const mac = async (key, ...parts) => {
  const imported = await subtle.importKey('raw', key, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
  return new Uint8Array(await subtle.sign('HMAC', imported, concat(...parts)));
};
export const extract = (salt, secret) => mac(salt, secret);
/** HKDF-Expand of 32 bytes is one block. */
export const expand = (prk, ...info) => mac(prk, ...info, [1]);
export const openGcm = async (key, iv, additionalData, sealed) => {
  const imported = await subtle.importKey('raw', key, 'AES-GCM', false, ['decrypt']);
  return new Uint8Array(await subtle.decrypt({ name: 'AES-GCM', iv, additionalData }, imported, sealed));
};
/** PBKDF2 between a password and what is derived from it. */
export const stretch = async (password, salt) => {
  const imported = await subtle.importKey('raw', utf8(password), 'PBKDF2', false, ['deriveBits']);
  const rounds = { name: 'PBKDF2', hash: 'SHA-256', salt, iterations: 600_000 };
  return new Uint8Array(await subtle.deriveBits(rounds, imported, 256));
};
const RSA = { verify: { name: 'RSA-PSS', hash: 'SHA-256' }, encrypt: { name: 'RSA-OAEP', hash: 'SHA-256' } };
/** A public key under the rules of section 1: 2048 to 4096 bits, exponent 65537, one encoding. */
export const publicKey = async (spki, use) => {
  const key = await subtle.importKey('spki', spki, RSA[use], true, [use]);
  const { n, e } = await subtle.exportKey('jwk', key);
  const [first, ...rest] = decode(n);
  const bits = rest.length * 8 + 32 - Math.clz32(first);
  if (e !== 'AQAB' || bits < 2048 || bits > 4096) throw new Error('key size or exponent');
  if (!equal(new Uint8Array(await subtle.exportKey('spki', key)), spki)) throw new Error('encoding');
  return { key, length: Math.ceil(bits / 8) };
};
export const verify = async ({ key, length }, message, signature) =>
  signature.length === length && subtle.verify({ name: 'RSA-PSS', saltLength: 32 }, key, signature, message);
export const unwrap = async (pkcs8, label, wrapped) => {
  const key = await subtle.importKey('pkcs8', pkcs8, RSA.encrypt, false, ['decrypt']);
  const opened = new Uint8Array(await subtle.decrypt({ name: 'RSA-OAEP', label: utf8(label) }, key, wrapped));
  if (opened.length !== 32) throw new Error('a wrapped key has 32 bytes');
  return opened;
};
export const keyId = async (spki) => encode((await sha(spki)).slice(0, 16));
/** The public half of a private key. */
export const spkiOf = async (pkcs8) => {
  const key = await subtle.importKey('pkcs8', pkcs8, RSA.encrypt, true, ['decrypt']);
  const { kty, n, e } = await subtle.exportKey('jwk', key);
  const half = await subtle.importKey('jwk', { kty, n, e }, RSA.encrypt, true, ['encrypt']);
  return new Uint8Array(await subtle.exportKey('spki', half));
};
