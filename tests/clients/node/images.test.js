// dockerode, as programs in JavaScript use it. tests/tests/it/clients.rs starts a daemon and two registries, and says in CLIENT_TEST what there is.
'use strict';

const assert = require('node:assert/strict');
const { afterEach, test } = require('node:test');
const { Readable } = require('node:stream');
const Docker = require('dockerode');
const tar = require('tar-stream');

const lab = JSON.parse(process.env.CLIENT_TEST);
const docker = new Docker({ socketPath: lab.socket });
const login = {
  username: lab.private.username,
  password: lab.private.password,
  serveraddress: lab.private.registry,
};

const name = (short) => `${lab.registry}/${short}`;
const id = (short) => lab.images[short].id;

/** All lines of an answer that is a stream of progress. It fails if one of them tells of an error, which dockerode leaves to its callers. */
async function followed(stream) {
  const lines = await new Promise((resolve, reject) => {
    docker.modem.followProgress(stream, (error, lines) => (error ? reject(error) : resolve(lines)));
  });
  for (const line of lines) {
    assert.equal(line.error, line.errorDetail?.message);
    if (line.error) throw new Error(line.error);
  }
  return lines;
}

async function pull(reference, options = {}) {
  return followed(await docker.pull(reference, options));
}

async function bytes(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** The lines of an answer, each a document. */
async function documents(stream) {
  const text = (await bytes(stream)).toString();
  return text.split('\n').filter((line) => line.trim()).map((line) => JSON.parse(line));
}

/** What a call is refused with. */
async function refused(call, status) {
  const error = await call.then(() => assert.fail('it was not refused'), (error) => error);
  assert.equal(error.statusCode, status, error.message);
  // dockerode puts its own words before those of the daemon.
  return error.message.slice(error.message.indexOf(' - ') + 3).trim();
}

function tarOf(files) {
  const pack = tar.pack();
  for (const [file, text] of Object.entries(files)) pack.entry({ name: file }, text);
  pack.finalize();
  return bytes(pack);
}

const ids = async (options) => (await docker.listImages(options)).map((image) => image.Id);

afterEach(async () => {
  for (const image of await docker.listImages()) await docker.getImage(image.Id).remove({ force: true });
});

test('a pull is followed to its end', async () => {
  const seen = [];
  const stream = await docker.pull(name('lab/box:1'));
  const lines = await new Promise((resolve, reject) => {
    const end = (error, lines) => (error ? reject(error) : resolve(lines));
    docker.modem.followProgress(stream, end, (line) => seen.push(line));
  });
  assert.deepEqual(seen, lines);
  assert.equal(lines[0].status, 'Pulling from lab/box');
  const states = lines.map((line) => line.status);
  assert.ok(states.includes(`Digest: ${id('lab/box:1')}`));
  assert.ok(states.includes(`Status: Downloaded newer image for ${name('lab/box:1')}`));
  for (const blob of lab.images['lab/box:1'].blobs) {
    assert.ok(lines.some((line) => line.id === blob.slice(7, 19) && line.status === 'Pull complete'));
  }
});

test('pulls by digest, of all tags and for a platform', async () => {
  const digest = id('lab/box:2');
  await pull(`${name('lab/box')}@${digest}`);
  assert.equal((await docker.getImage(digest).inspect()).Id, digest);
  await followed(await docker.pullAll(name('lab/tags')));
  for (const tag of ['a', 'b']) {
    const found = await docker.getImage(name(`lab/tags:${tag}`)).inspect();
    assert.equal(found.Id, id(`lab/tags:${tag}`));
  }
  await pull(name('lab/multi:1'), { platform: lab.otherPlatform });
  const [row] = await docker.listImages({ filters: { reference: [name('lab/multi')] }, manifests: true });
  const here = row.Manifests.filter((manifest) => manifest.Available).map((manifest) => manifest.ID);
  assert.deepEqual(here, [lab.images['lab/multi:1'].platforms[lab.otherPlatform].id]);
});

test('a pull that fails is told by its status', async () => {
  const missing = name('lab/box:none');
  assert.equal(
    await refused(docker.pull(missing), 404),
    `failed to resolve reference "${missing}": ${missing}: not found`,
  );
  assert.match(await refused(docker.pull(name('lab/BAD:1')), 400), /must be lowercase/);
  const closed = `${lab.private.registry}/lab/private:1`;
  assert.match(await refused(docker.pull(closed), 404), /pull access denied/);
  await refused(docker.pull(closed, { authconfig: { ...login, password: 'wrong' } }), 401);
  await followed(await docker.pull(closed, { authconfig: login }));
  assert.deepEqual(await ids(), [id('lab/private:1')]);
});

test('images are listed', async () => {
  await pull(name('lab/box:1'));
  await pull(name('lab/box:2'));
  const [older, newer] = [id('lab/box:1'), id('lab/box:2')];
  assert.deepEqual(await ids(), [newer, older]);
  const filtered = async (filters) => ids({ filters });
  assert.deepEqual(await filtered({ reference: [name('lab/box:1')] }), [older]);
  assert.deepEqual(await filtered({ label: ['lab.name=lab/box:2'] }), [newer]);
  assert.deepEqual(await filtered('{"label":{"lab.name=lab/box:2":true}}'), [newer]);
  assert.deepEqual(await filtered({ before: [name('lab/box:2')] }), [older]);
  assert.deepEqual(await filtered({ since: [name('lab/box:1')] }), [newer]);
  assert.deepEqual(await filtered({ until: ['2024-01-01'] }), [older]);
  assert.deepEqual(await filtered({ dangling: ['true'] }), []);
  assert.match(await refused(docker.listImages({ filters: { nonsense: ['1'] } }), 400), /invalid filter/);
  const [row] = await docker.listImages({ filters: { reference: [name('lab/box:1')] }, 'shared-size': true });
  assert.deepEqual(row.RepoTags, [name('lab/box:1')]);
  assert.deepEqual(row.RepoDigests, [`${name('lab/box')}@${older}`]);
  assert.equal(row.Created, 1700000000);
  assert.ok(row.Size > 0 && row.SharedSize > 0);
});

test('an image is inspected, and has a history', async () => {
  await pull(name('lab/box:1'));
  const image = docker.getImage(name('lab/box:1'));
  const found = await image.inspect();
  assert.equal(found.Id, id('lab/box:1'));
  assert.deepEqual(found.RootFS, { Type: 'layers', Layers: lab.images['lab/box:1'].layers });
  assert.deepEqual(found.Config.Cmd, ['sh', '-c', 'true']);
  assert.deepEqual(found.Config.Labels, { lab: 'yes', 'lab.name': 'lab/box:1' });
  assert.equal(`${found.Os}/${found.Architecture}`, lab.platform);
  const steps = await image.history();
  assert.deepEqual(steps.map((step) => step.CreatedBy), ['testkit layer 2', 'testkit layer 1']);
  assert.deepEqual(steps.map((step) => step.Id), [found.Id, '<missing>']);
});

test('names come and go', async () => {
  await pull(name('lab/box:1'));
  const box = id('lab/box:1');
  await docker.getImage(box).tag({ repo: 'mine/box', tag: 'v1' });
  assert.equal((await docker.getImage('mine/box:v1').inspect()).Id, box);
  assert.match(await refused(docker.getImage(box).tag({ repo: 'UPPER' }), 400), /invalid reference format/);
  assert.match(await refused(docker.getImage(box).remove(), 409), /must be forced/);
  assert.deepEqual(await docker.getImage('mine/box:v1').remove(), [{ Untagged: 'mine/box:v1' }]);
  const removed = await docker.getImage(name('lab/box:1')).remove({ noprune: true });
  assert.deepEqual(removed.at(-1), { Deleted: box });
  assert.equal(await refused(docker.getImage('nothing').inspect(), 404), 'No such image: nothing:latest');
  assert.equal(await refused(docker.getImage('nothing').remove(), 404), 'No such image: nothing:latest');
});

test('an image is pushed', async () => {
  await pull(name('lab/box:1'));
  const box = id('lab/box:1');
  await docker.getImage(box).tag({ repo: name('node/sent'), tag: '1' });
  const lines = await followed(await docker.getImage(name('node/sent')).push({ tag: '1' }));
  assert.equal(lines[0].status, `The push refers to repository [${name('node/sent')}]`);
  assert.ok(lines.some((line) => line.aux && line.aux.Digest === box));
  assert.equal((await docker.getImage(name('node/sent:1')).distribution()).Descriptor.digest, box);

  const closed = `${lab.private.registry}/node/sent`;
  await docker.getImage(box).tag({ repo: closed, tag: '1' });
  const push = async (options) => followed(await docker.getImage(closed).push({ tag: '1', ...options }));
  await assert.rejects(push({}), /push access denied/);
  await push({ authconfig: login });
  const found = await docker.getImage(`${closed}:1`).distribution({ authconfig: login });
  assert.equal(found.Descriptor.digest, box);
  await assert.rejects(
    docker.getImage(name('node/none')).push({ tag: '1' }).then(followed),
    /tag does not exist|does not exist locally/,
  );
});

test('what a registry has is told without a pull', async () => {
  const found = await docker.getImage(name('lab/multi:1')).distribution();
  assert.equal(found.Descriptor.digest, id('lab/multi:1'));
  assert.deepEqual(
    found.Platforms.map((platform) => `${platform.os}/${platform.architecture}`).sort(),
    [lab.platform, lab.otherPlatform].sort(),
  );
  await refused(docker.getImage(name('lab/nothing:1')).distribution(), 404);
  await refused(docker.getImage(`${lab.private.registry}/lab/private:1`).distribution(), 401);
});

test('images go out into an archive and come back', async () => {
  await pull(name('lab/box:1'));
  await pull(name('lab/box:2'));
  const names = [name('lab/box:1'), name('lab/box:2')];
  const one = await bytes(await docker.getImage(names[0]).get());
  const both = await bytes(await docker.getImages({ names }));
  for (const each of names) await docker.getImage(each).remove();
  const loaded = async (archive) => {
    const lines = await followed(await docker.loadImage(Readable.from([archive]), { quiet: true }));
    return lines.map((line) => line.stream).sort();
  };
  assert.deepEqual(await loaded(one), [`Loaded image: ${names[0]}\n`]);
  assert.deepEqual(await loaded(both), names.map((each) => `Loaded image: ${each}\n`));
  assert.deepEqual(await ids(), [id('lab/box:2'), id('lab/box:1')]);
  await assert.rejects(loaded(Buffer.from('nonsense')));
});

test('a tar becomes an image', async () => {
  const content = await tarOf({ hello: 'world' });
  const changes = ['USER foobar', 'CMD ["echo"]'];
  const stream = await docker.importImage(Readable.from([content]), { repo: 'imported', tag: '1', changes });
  const last = (await followed(stream)).at(-1);
  const found = await docker.getImage('imported:1').inspect();
  assert.equal(found.Id, last.status);
  assert.equal(found.Config.User, 'foobar');
  assert.deepEqual(found.Config.Cmd, ['echo']);
  const nonsense = docker.importImage(Readable.from([content]), { repo: 'imported', changes: ['RUN true'] });
  assert.match(await refused(nonsense, 400), /RUN/);
});

test('events of the past and of now', async () => {
  // The clock of JavaScript counts milliseconds: from the end of this one, in which what was before may have happened, to the end of the last.
  const since = (Date.now() + 1) / 1000;
  await pull(name('lab/box:1'));
  await docker.getImage(name('lab/box:1')).tag({ repo: 'mine', tag: '1' });
  await docker.getImage('mine:1').remove();
  const past = { since, until: (Date.now() + 1) / 1000 };
  const actions = async (filters) => {
    const seen = await documents(await docker.getEvents({ ...past, filters }));
    return seen.map((event) => event.Action);
  };
  assert.deepEqual(await actions({ type: ['image'] }), ['pull', 'tag', 'untag']);
  assert.deepEqual(await actions({ event: ['pull', 'untag'] }), ['pull', 'untag']);
  assert.deepEqual(await actions({ image: [name('lab/box:1')], event: ['pull'] }), ['pull']);
  assert.deepEqual(await actions({ type: ['network'] }), []);

  const events = await docker.getEvents({ filters: { event: ['tag'] } });
  const first = new Promise((resolve) => events.once('data', resolve));
  await docker.getImage(name('lab/box:1')).tag({ repo: 'mine', tag: '2' });
  const event = JSON.parse(await first);
  assert.equal(event.Action, 'tag');
  assert.equal(event.Actor.Attributes.name, 'mine:2');
  events.destroy();
});

test('images that nobody uses are pruned', async () => {
  await pull(name('lab/box:1'));
  const prune = async (filters) => docker.pruneImages({ filters });
  assert.deepEqual(await prune({ dangling: ['true'] }), { ImagesDeleted: null, SpaceReclaimed: 0 });
  assert.equal((await prune({ dangling: ['false'], until: ['24h'] })).ImagesDeleted, null);
  assert.equal((await prune({ dangling: ['false'], label: ['lab=no'] })).ImagesDeleted, null);
  const pruned = await prune({ dangling: ['false'] });
  assert.ok(pruned.SpaceReclaimed > 0);
  assert.deepEqual(pruned.ImagesDeleted.at(-1), { Deleted: id('lab/box:1') });
});

test('what images take on the disk', async () => {
  await pull(name('lab/box:1'));
  const usage = await docker.df();
  assert.ok(usage.LayersSize > 0);
  assert.deepEqual(usage.Images.map((image) => image.Id), [id('lab/box:1')]);
  assert.deepEqual(usage.Containers, []);
});

test('logins are tried out', async () => {
  assert.equal((await docker.checkAuth(login)).Status, 'Login Succeeded');
  await refused(docker.checkAuth({ ...login, password: 'wrong' }), 401);
});

test('the daemon introduces itself', async () => {
  assert.equal((await docker.ping()).toString(), 'OK');
  const version = await docker.version();
  assert.equal(version.Version, lab.version);
  assert.equal(version.ApiVersion, '1.51');
  const info = await docker.info();
  assert.equal(info.Images, 0);
  assert.equal(info.OSType, 'linux');
  assert.deepEqual(await docker.listContainers({ all: true }), []);
  const create = docker.createContainer({ Image: 'nothing' });
  assert.match(await refused(create, 501), /it runs no containers/);
});

test('versions of the API are asked for by name', async () => {
  await pull(name('lab/box:1'));
  for (const version of ['v1.24', 'v1.41', 'v1.51', 'v1.55']) {
    const [row] = await new Docker({ socketPath: lab.socket, version }).listImages();
    assert.equal(row.Id, id('lab/box:1'));
    assert.equal('VirtualSize' in row, ['v1.24', 'v1.41'].includes(version));
  }
  const unknown = new Docker({ socketPath: lab.socket, version: 'v1.99' });
  assert.match(await refused(unknown.listImages(), 400), /too new/);
});
