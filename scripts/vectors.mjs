// Checks the envelope's vectors with SubtleCrypto alone, as a browser would: opens what must be
// accepted, and refuses what must be refused by the check that is there for it.
// usage: node scripts/vectors.mjs [FILE]
import fs from 'node:fs';

import {
  all, blob, canonical, conversation, digest, digestOf, integer, kid, loose, name, object, one, oneOf, readFrame,
  text, U32, U53, upTo, verifyFrame,
} from './vectors/format.mjs';
import {
  agree, at, concat, decode, decoder, encode, equal, expand, extract, keyId, mac, need, openGcm, publicKey, refuse,
  Refused, sha, spkiOf, stretch, u32, unwrap, utf8, verify, ZERO,
} from './vectors/primitives.mjs';

const PATH = process.argv[2] ?? new URL('../crates/protocol/tests/vectors/envelope.json', import.meta.url);
const file = JSON.parse(fs.readFileSync(PATH, 'utf8'));
const privateKey = (keyName) => decode(file.keys[keyName]);

/** Lines of a member list, a bit each, without zero bytes at the end (rule R15). */
const isLines = (value) => {
  const bytes = decode(value);
  return bytes.length > 0 && bytes.length <= 625 && bytes.at(-1) !== 0;
};

/** A file's name: base64url of 1 to 255 bytes of UTF-8 (rule R32). */
function fileName(value) {
  const bytes = decode(value);
  return bytes.length >= 1 && bytes.length <= 255 && text(decoder.decode(bytes));
}

// Headers (section 6, rules R2, R3, R8, R9)
const SHAPES = {
  message: {
    label: 'chat-e2e/1 msg',
    form: object({
      v: one, t: oneOf('TEXT', 'CMD', 'ACK', 'NOACK', 'DM', 'BROADCAST', 'OUT', 'CANCEL', 'KEYREQ', 'GRANT'), 'stage?': oneOf('executed'),
      cid: conversation, from: name, sk: kid, to: (to) => to === '*' || name(to), id: kid, e: digest, n: U32,
      p: digest, ts: U53, 'nbf?': U53, 'exp?': U53, 'rb?': kid, 'tk?': kid,
    }),
    also: (h) => ['nbf', 'exp', 'rb', 'tk'].every((key) => key in h === (h.t === 'CMD'))
      && 'stage' in h === ['ACK', 'NOACK'].includes(h.t),
  },
  receipt: {
    label: 'chat-e2e/1 receipt',
    form: object({
      v: one, t: oneOf('ACK', 'NOACK'), stage: oneOf('delivered'), cid: conversation, from: name, sk: kid,
      to: name, id: kid, ts: U53,
    }),
  },
  key: {
    label: 'chat-e2e/1 key',
    form: object({
      v: one, t: oneOf('KEY'), cid: conversation, from: name, sk: kid, eid: kid, g: U32, pe: digest, mg: U32, pm: digest,
      kc: digest, mh: digest, ts: U53, 'wo?': upTo(64, name),
    }),
    also: (h) => !('wo' in h)
      || (!h.cid.startsWith('dm:') && !h.wo.includes(h.from) && h.wo.every((who, at) => at === 0 || h.wo[at - 1] < who)),
  },
  member: {
    label: 'chat-e2e/1 member',
    form: object({
      v: one, t: oneOf('MEMBER'), cid: conversation, from: name, sk: kid,
      op: oneOf('create', 'join', 'admit', 'leave', 'remove', 'role'), who: name, ik: kid,
      arg: oneOf('open', 'invite', 'admin', 'member', ''), mg: U32, pm: digest, id: kid, ts: U53,
    }),
  },
  offer: {
    label: 'chat-e2e/1 share',
    form: object({
      v: one, t: oneOf('OFFER'), u: name, sk: kid, cid: (cid) => cid === '*' || conversation(cid), id: kid,
      name: fileName, size: integer(16 * 2 ** 30), root: digest, ts: U53,
    }),
  },
};
const readAs = async (encoded, shape) => {
  const frame = readFrame(decode(encoded));
  const { form, also = () => true } = SHAPES[shape];
  const header = await at('header', () => canonical(frame.header, form));
  need(also(header), 'header');
  return { frame, header };
};

// Bundles (section 7, rules R14, R27)
const published = { kid, spki: blob, nbf: U53, exp: U53 };
const BUNDLE = object({
  v: one, t: oneOf('BUNDLE'), u: name, dev: kid, seq: U32, prev: digest, ik: blob,
  sk: all(object({ ...published, pop: blob })), ek: all(object(published)), 'lk?': all(object(published)),
  'rb?': kid, 'rev?': all(kid), suites: all(integer(255)), ts: U53,
});
const possession = async (ik, user) => concat('chat-e2e/1 pop', [0], await sha(ik), await sha(user));
const bundle = async (bytes) => {
  const frame = readFrame(bytes);
  const header = await at('field', () => canonical(frame.header, BUNDLE));
  const { u, ik, sk, ek, lk = [] } = header;
  need(frame.body.length === 0 && sk.length && ek.length && header.suites.includes(1), 'field');
  const keys = [...sk, ...ek, ...lk];
  for (const key of keys) need(key.kid === await keyId(decode(key.spki)), 'field');
  need(new Set([ik, ...keys.map((key) => key.spki)]).size === keys.length + 1, 'field');
  const identity = await at('key', () => publicKey(decode(ik), 'verify'));
  need(await verifyFrame(frame, 'chat-e2e/1 bundle', identity), 'signature');
  for (const { spki, pop } of sk) {
    const key = await at('key', () => publicKey(decode(spki), 'verify'));
    need(await verify(key, await possession(decode(ik), u), decode(pop)), 'possession');
  }
  for (const { spki } of [...ek, ...lk]) await at('key', () => publicKey(decode(spki), 'encrypt'));
  return { header, identity: await keyId(decode(ik)), digest: encode(await sha(frame.header)) };
};

/** Every accepted bundle of the file. */
const known = [];
const bundleOf = (user, sk) =>
  known.find(({ header: { u, sk: keys, rev = [] } }) =>
    u === user && !rev.includes(sk) && keys.some((key) => key.kid === sk)) ?? refuse('members');
const signingKey = ({ header }, sk) => publicKey(decode(header.sk.find((key) => key.kid === sk).spki), 'verify');
const checkSignature = async (frame, { from, sk }, shape) => {
  const key = await signingKey(bundleOf(from, sk), sk);
  need(await verifyFrame(frame, SHAPES[shape].label, key), 'signature');
};

const judge = {
  async bundle({ bundle: bytes, expect }) {
    const { header, identity, digest: own } = await bundle(decode(bytes));
    if (expect) agree(equal([header.u, identity, own], [expect.user, expect.identity, expect.digest]), 'the bundle');
  },

  async possession({ user, ik, sk, pop }) {
    const key = await at('key', () => publicKey(decode(sk), 'verify'));
    need(await verify(key, await possession(decode(ik), user), decode(pop)), 'possession');
  },

  async epoch({ frame: encoded, members, wraps, openers, expect }) {
    const { frame, header } = await readAs(encoded, 'key');
    need(frame.body.length === 0, 'body');
    await checkSignature(frame, header, 'key');
    const lines = memberLines(members);
    need(encode(await sha(members)) === header.mh, 'members');
    need(lines.some(([user, sk]) => user === header.from && sk === header.sk), 'members');
    need(!lines.some(([user]) => header.wo?.includes(user)), 'members');
    const [kind, ...names] = header.cid.split(':');
    const inDirect = new Set(lines.map(([user]) => user));
    need(kind !== 'dm' || equal([...inDirect].sort(), names), 'members');
    const e = encode(await sha(frame.header));
    let prk;
    for (const [index, wrap] of wraps.entries()) {
      const key = await at('unwrap', () => unwrap(privateKey(openers[index]), `chat-e2e/1 wrap ${e}`, decode(wrap)));
      prk = await extract(decode(header.eid), key);
      const committed = await expand(prk, `chat-e2e/1 commit\0${header.cid}\0${header.from}`);
      need(encode(committed) === header.kc, 'commitment');
      if (expect) agree(encode(key) === expect.key, 'the key');
    }
    const chains = await Promise.all(lines.map(([user, sk]) =>
      expand(prk, `chat-e2e/1 chain\0${header.cid}\0${user}\0${sk}`)));
    if (expect) agree(e === expect.e && equal(chains.map(encode), expect.chains), 'the epoch');
    return { header, e, lines, chains };
  },

  async membership({ cid, links, expect }) {
    const chain = { cid, next: 0, head: ZERO, open: true, members: new Map() };
    for (const encoded of links) {
      const { frame, header } = await readAs(encoded, 'member');
      need(frame.body.length === 0, 'body');
      await checkSignature(frame, header, 'member');
      need(mayFollow(chain, header, bundleOf(header.from, header.sk).identity), 'chain');
      need(known.some((their) => their.header.u === header.who && their.identity === header.ik), 'identity');
      const { op, who, ik, arg } = header;
      if (op === 'create') chain.open = arg === 'open';
      if (['create', 'join', 'admit'].includes(op)) chain.members.set(who, { ik, admin: op === 'create' });
      if (['leave', 'remove'].includes(op)) chain.members.delete(who);
      if (op === 'role') chain.members.get(who).admin = arg === 'admin';
      chain.next += 1;
      chain.head = await digestOf('chat-e2e/1 member', frame);
    }
    if (!expect) return;
    const admins = Object.fromEntries([...chain.members].sort().map(([user, { admin }]) => [user, admin]));
    agree(chain.head === expect.head && JSON.stringify(admins) === JSON.stringify(expect.members), 'the members');
  },

  async message({ epoch: epochName, after, frames, expect }) {
    const epoch = await judge.epoch(caseOf(epochName));
    const opened = [];
    let chain, last = after;
    for (const [index, encoded] of frames.entries()) {
      const { frame, header } = await readAs(encoded, 'message');
      need(fits(header), 'table');
      need(header.e === epoch.e && header.cid === epoch.header.cid, 'epoch');
      const line = epoch.lines.findIndex(([user, sk]) => user === header.from && sk === header.sk);
      need(line >= 0, 'members');
      await checkSignature(frame, header, 'message');
      chain ??= { key: epoch.chains[line], n: 0, skipped: new Map() };
      const key = await messageKey(chain, header.n);
      const before = header.n === 0 ? last?.[1] ?? ZERO : last?.[0] === header.n - 1 && last[1];
      need(!before || header.p === before, 'order');
      last = [header.n, await digestOf('chat-e2e/1 msg', frame)];
      const plaintext = await at('open', () =>
        openGcm(key, frame.body.slice(0, 12), frame.header, frame.body.slice(12)));
      await at('content', () => content(header.t, decoder.decode(plaintext)));
      if (expect) agree(last[1] === expect[index].digest, 'the digest');
      if (expect) agree(decoder.decode(plaintext) === expect[index].plaintext, 'the plaintext');
      opened.push({ header, digest: last[1] });
    }
    if (expect) agree(expect.length === frames.length, 'the number of frames');
    return opened;
  },

  async receipt({ frame: encoded, of, expect }) {
    const { frame, header } = await readAs(encoded, 'receipt');
    const about = caseOf(of);
    const epoch = await judge.epoch(caseOf(about.epoch));
    const messages = await judge.message(about);
    need(header.cid === epoch.header.cid && messages.every((m) => m.header.from === header.to), 'table');
    need(epoch.lines.some(([user]) => user === header.from), 'members');
    await checkSignature(frame, header, 'receipt');
    const pair = (entry) => Array.isArray(entry) && entry.length === 2 && kid(entry[0]) && digest(entry[1]);
    const { re, code } = await at('content', () => loose(decoder.decode(frame.body), { re: all(pair), 'code?': text }));
    need(re.length >= 1 && re.length <= 64, 'content');
    need(code === (header.t === 'NOACK' ? 'unreadable' : undefined), 'content');
    need(re.every(([id, sum]) => messages.some((m) => m.header.id === id && m.digest === sum)), 'unknown');
    if (expect) agree(await digestOf('chat-e2e/1 receipt', frame) === expect, 'the digest');
  },

  async 'sign-in'({ hello, auth, ok, link, exporter, expect }) {
    const greeting = await at('hello', async () => {
      const { srv, bundle: bytes } = loose(hello, { tag: oneOf('HELLO'), v: one, sid: digest, srv: kid, bundle: blob });
      const hub = await bundle(decode(bytes));
      need(hub.identity === srv && hub.header.u === 'server', 'hello');
      return hub;
    });
    agree(greeting.header.lk.length > 0, 'the link key');
    const parts = await at('auth', () => loose(auth, { tag: oneOf('AUTH'), hdr: blob, body: blob, sig: blob }));
    const [hdr, body, sig] = [parts.hdr, parts.body, parts.sig].map(decode);
    const header = await at('auth', () => canonical(hdr, object({
      v: one, t: oneOf('AUTH'), u: name, m: oneOf('sig', 'pw', 'reg', 'vault'), sk: kid, lk: kid, wk: blob,
      cb: oneOf('none', 'exporter'),
    })));
    need((header.cb === 'exporter') === (exporter !== null), 'auth');
    need(header.lk === await keyId(await spkiOf(privateKey(link))), 'link');
    const sum = await sha(hello);
    const secret = await at('sealed', () => unwrap(privateKey(link), `chat-e2e/1 chan ${encode(sum)}`, decode(header.wk)));
    const prk = await extract(await sha(sum, await sha(hdr)), secret);
    const once = new Uint8Array(12);
    const [toHub, toClient] = [await expand(prk, 'chat-e2e/1 c2s'), await expand(prk, 'chat-e2e/1 s2c')];
    const clear = decoder.decode(await at('sealed', () => openGcm(toHub, once, hdr, body)));
    const said = await at('auth', () => loose(clear, {
      purpose: oneOf('interactive', 'task', 'agent', 'visit'), 'pw?': blob, 'bundle?': blob, 'vault?': blob,
    }));
    if (header.m !== 'vault') {
      const own = said.bundle ? await at('bundle', () => bundle(decode(said.bundle))) : bundleOf(header.u, header.sk);
      const key = await at('bundle', () => signingKey(own, header.sk));
      const signed = concat('chat-e2e/1 auth', [0], sum, await sha(hdr), await sha(body), exporter ? decode(exporter) : []);
      need(await verify(key, signed, sig), 'signature');
    }
    const answer = await at('ok', async () => {
      const sealed = decode(loose(ok, { tag: oneOf('OK'), body: blob }).body);
      return decoder.decode(await openGcm(toClient, once, await sha(auth), sealed));
    });
    if (expect) agree(equal([encode(secret), clear, answer], [expect.secret, expect.body, expect.signed_in]), 'the link');
  },

  async password({ password, srv, user, login, vault }) {
    const stretched = await stretch(password.normalize('NFC'), await sha(`chat-e2e/1 pw\0${srv}\0${user}`));
    const derived = [await expand(stretched, 'chat-e2e/1 pw-auth'), await expand(stretched, 'chat-e2e/1 pw-vault')];
    need(equal(derived.map(encode), [login, vault]), 'derivation');
  },

  async vault({ key, srv, user, number, sealed, expect }) {
    const aad = concat(`chat-e2e/1 vault\0${srv}\0${user}\0`, u32(number));
    const bytes = decode(sealed);
    const clear = await at('sealed', () => openGcm(decode(key), bytes.slice(0, 12), aad, bytes.slice(12)));
    if (expect) agree(decoder.decode(clear) === expect, 'the vault');
  },

  async offer({ owner, audience, id, signed, expect }) {
    const bytes = decode(signed);
    need(bytes.length <= 1536, 'frame');
    const frame = readFrame(bytes);
    need(frame.kind !== 0 && frame.body.length === 0, 'form');
    const header = await at('header', () => canonical(frame.header, SHAPES.offer.form));
    need(header.u === owner && header.cid === audience && header.id === id, 'place');
    await checkSignature(frame, { from: header.u, sk: header.sk }, 'offer');
    const found = [decoder.decode(decode(header.name)), header.size, header.root, header.ts];
    if (expect) agree(equal(found, [expect.name, expect.size, expect.root, expect.ts]), 'the offer');
  },
};

/** Lines `name SP sk SP ek LF`, sorted, none twice (section 9). */
function memberLines(members) {
  const lines = members.split('\n').slice(0, -1);
  need(members === lines.map((line) => `${line}\n`).join('') && lines.every((line, i) => !i || lines[i - 1] < line), 'members');
  return lines.map((line) => {
    const words = line.split(' ');
    need(words.length === 3 && name(words[0]), 'members');
    return words;
  });
}

/** Whether a link may come next in a room's chain (rule R2). */
function mayFollow(chain, link, signer) {
  const { op, from, who, ik, arg } = link;
  const member = chain.members.get(from);
  const own = who === from && ik === signer;
  const admin = member?.admin === true && member.ik === signer;
  const inside = chain.members.has(who);
  const exists = chain.next > 0 || ['room:ALL', 'room:lobby'].includes(chain.cid);
  if (link.cid !== chain.cid || !chain.cid.startsWith('room:')) return false;
  if (link.mg !== chain.next || link.pm !== chain.head || exists === (op === 'create')) return false;
  return {
    create: () => own && ['open', 'invite'].includes(arg),
    join: () => own && chain.open && !inside && arg === '',
    admit: () => admin && !inside && arg === '',
    leave: () => own && inside && arg === '' && chain.cid !== 'room:ALL',
    remove: () => admin && inside && arg === '',
    role: () => admin && inside && ['admin', 'member'].includes(arg),
  }[op]();
}

/** Tag, conversation and recipient go together (rule R23). */
function fits({ t, cid, from, to }) {
  const [kind, a, b] = cid.split(':');
  if (kind === 'dm') {
    const tags = ['DM', 'CMD', 'CANCEL', 'OUT', 'ACK', 'NOACK', 'KEYREQ', 'GRANT'];
    return tags.includes(t) && [a, b].includes(from) && to === (from === a ? b : a);
  }
  return t === (kind === 'room' && a === 'ALL' ? 'BROADCAST' : 'TEXT') && to === '*';
}

/** The key of counter n: each is given once, and a skip is bounded (section 10). */
async function messageKey(chain, n) {
  const kept = chain.skipped.get(n);
  need(n >= chain.n ? n - chain.n <= 2000 : kept, 'counter');
  chain.skipped.delete(n);
  while (chain.n <= n) {
    chain.skipped.set(chain.n, await mac(chain.key, [1]));
    chain.key = await mac(chain.key, [2]);
    chain.n += 1;
  }
  const key = kept ?? chain.skipped.get(n);
  chain.skipped.delete(n);
  return key;
}

/** Reads a plaintext; what `pad` holds is ignored (rules R22, R28). */
function content(tag, plaintext) {
  const voided = (entry) => Array.isArray(entry) && entry.length === 2 && U32(entry[0]) && digest(entry[1]);
  const some = (most, is) => (list) => all(is)(list) && list.length <= most;
  const growing = (n, index, list) => U32(n) && (index === 0 || list[index - 1] < n);
  const counters = {
    cid: conversation, e: digest, sk: kid,
    n: (n) => Array.isArray(n) && n.length >= 1 && n.length <= 64 && n.every(growing),
  };
  const listed = object(counters, { ordered: false });
  const granted = object(
    { cid: conversation, e: digest, sk: kid, n: U32, id: kid, tbs: digest, mk: digest, 'frame?': blob },
    { ordered: false },
  );
  const forms = {
    TEXT: { x: (x) => text(x) && utf8(x).length <= 64 * 1024, 'veil?': (veil) => veil === true },
    CMD: {
      argv: (argv) => all(text)(argv) && argv.length > 0, salt: kid, no: U53, 'prev?': U53, 'ms?': U53, 'bytes?': U53,
    },
    CANCEL: { re: kid },
    OUT: { re: kid, stream: oneOf('started', 'stdout', 'stderr'), no: U53, 'data?': blob },
    ACK: { re: kid, of: digest, outs: U53, 'st?': Number.isInteger, 'code?': text, 'reason?': text },
    KEYREQ: counters,
    GRANT: { 'grant?': some(64, granted), 'burnt?': some(16, listed), 'none?': some(16, listed) },
  };
  const setting = object(
    {
      k: (k) => text(k) && /^[!-~]{1,128}$/.test(k), v: (v) => text(v) && utf8(v).length <= 256, at: U53,
    },
    { ordered: false },
  );
  const distinct = (set) => new Set(set.map(({ k }) => k)).size === set.length;
  forms.SET = { set: (set) => some(48, setting)(set) && set.length > 0 && distinct(set) };
  forms.AUTO = { x: forms.TEXT.x, auto: (auto) => auto === true };
  const isDm = (key) => tag === 'DM' && key in JSON.parse(plaintext);
  const kind = (isDm('set') && 'SET') || (isDm('auto') && 'AUTO') || tag;
  const own = forms[{ DM: 'TEXT', BROADCAST: 'TEXT', NOACK: 'ACK' }[kind] ?? kind];
  const last = object({ e: digest, n: U32, 'new?': isLines }, { ordered: false });
  const value = loose(plaintext, { ...own, 'void?': all(voided), 'last?': last, 'pad?': text });
  const { grant = [], burnt = [], none = [] } = value;
  if (tag === 'GRANT' && (grant.length + burnt.length + none.length === 0 || burnt.length + none.length > 16)) {
    throw new Error('nothing granted, or too much');
  }
  if (tag === 'OUT' && 'data' in value === (value.stream === 'started')) throw new Error('stream and data');
  if (tag === 'CMD' && value.prev >= value.no) throw new Error('prev is not below no');
  return value;
}

function caseOf(vectorName) {
  return file.vectors.find((vector) => vector.name === vectorName);
}

let refused = 0;
let wrong = 0;
for (const vector of file.vectors) {
  if (vector.kind === 'bundle' && !vector.refused) known.push(await bundle(decode(vector.bundle)));
}
for (const vector of file.vectors) {
  const expected = vector.refused?.at;
  let got;
  try {
    await judge[vector.kind](vector);
  } catch (error) {
    got = error instanceof Refused ? error.message : `failure: ${error.stack}`;
  }
  if (got !== expected) {
    wrong += 1;
    console.log(`WRONG     ${vector.name}: refused at ${got}, expected ${expected}`);
  } else if (expected) {
    refused += 1;
    console.log(`refused   ${vector.name}: ${vector.refused.altered}, by the check of ${expected}`);
  } else {
    console.log(`accepted  ${vector.name}`);
  }
}
const plaintexts = ['healing.json', 'settings.json'].flatMap((name) => {
  const url = new URL(`../crates/protocol/tests/vectors/${name}`, import.meta.url);
  return JSON.parse(fs.readFileSync(url, 'utf8'));
});
for (const vector of plaintexts) {
  let got = true;
  try {
    content(vector.tag, vector.plaintext);
  } catch {
    got = false;
  }
  refused += got ? 0 : 1;
  if (got === 'refused' in vector) {
    wrong += 1;
    console.log(`WRONG     ${vector.name}: ${got ? 'accepted' : 'refused'}`);
  } else {
    console.log(got ? `accepted  ${vector.name}` : `refused   ${vector.name}: ${vector.refused}`);
  }
}
console.log(`${file.vectors.length + plaintexts.length} vectors, ${refused} refused as they must be`);
if (wrong > 0 || refused === 0) {
  console.log(`${wrong} vectors were not judged as expected`);
  process.exitCode = 1;
}
