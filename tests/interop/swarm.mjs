// A swarm of js-libp2p DHT servers on loopback: `node swarm.mjs COUNT`.
//
// Prints {"servers": [full addresses]} once they know each other. Then each line of stdin is a request, as an object with
// "do" (a function below) and what that takes, and is answered by one line: what the function returns, or {"error": …}.
// Bytes are hex.

import { createInterface } from 'node:readline'
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import { kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { peerIdFromMultihash } from '@libp2p/peer-id'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { createIPNSRecord, marshalIPNSRecord, multihashToIPNSRoutingKey } from 'ipns'
import { ipnsSelector } from 'ipns/selector'
import { ipnsValidator } from 'ipns/validator'
import { createLibp2p } from 'libp2p'

// What Node has from version 22 on.
Promise.withResolvers ??= function () {
  const deferred = {}
  deferred.promise = new Promise((resolve, reject) => Object.assign(deferred, { resolve, reject }))
  return deferred
}

const PROTOCOL = '/ipfs/kad/1.0.0'
const SECONDS = 60

const hex = bytes => Buffer.from(bytes).toString('hex')
const bytes = text => Uint8Array.from(Buffer.from(text, 'hex'))
const limit = () => ({ signal: AbortSignal.timeout(SECONDS * 1000) })

async function start (clientMode = false) {
  return createLibp2p({
    addresses: { listen: clientMode ? [] : ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionManager: { inboundConnectionThreshold: 1000 }, // in a second from one address, which is that of all here
    connectionGater: { denyDialMultiaddr: () => false },
    services: {
      identify: identify(),
      ping: ping(),
      dht: kadDHT({
        protocol: PROTOCOL,
        clientMode,
        peerInfoMapper: passthroughMapper, // addresses on loopback count too
        validators: { ipns: ipnsValidator },
        selectors: { ipns: ipnsSelector },
        initialQuerySelfInterval: 100
      })
    }
  })
}

// Connect, and wait until the other one is in the routing table, as a server.
async function meet (node, address) {
  const connection = await node.dial(multiaddr(address), limit())
  const table = node.services.dht.routingTable
  const end = Date.now() + SECONDS * 1000
  while (await table.find(connection.remotePeer, limit()) === undefined) {
    if (Date.now() > end) {
      throw new Error(`${address} is not taken for a server`)
    }
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}

async function all (events) {
  const found = []
  for await (const event of events) {
    found.push(event)
  }
  return found
}

// Do something with a new node that knows only the server at `address`.
async function withNew (address, work) {
  const node = await start(true)
  try {
    await meet(node, address)
    return await work(node.services.dht)
  } finally {
    await node.stop()
  }
}

const functions = {
  // The peers closest to a key that a newcomer finds through one server.
  closest: ({ through, key }) => withNew(through, async dht => {
    const events = await all(dht.getClosestPeers(bytes(key), limit()))
    return { peers: events.filter(event => event.name === 'FINAL_PEER').map(event => event.peer.id.toString()) }
  }),

  // The best value that a newcomer finds for a key through one server, and who has handed one out.
  get: ({ through, key }) => withNew(through, async dht => {
    const events = await all(dht.get(bytes(key), limit()))
    const values = events.filter(event => event.name === 'VALUE')
    const held = events.filter(event => event.name === 'PEER_RESPONSE' && event.record !== undefined)
    return { values: values.map(event => hex(event.value)), from: held.map(event => event.from.toString()) }
  }),

  // Make a record, have a newcomer who knows one server put it, and return who says that it keeps it.
  put: ({ through, seed, value, sequence, v1 }) => withNew(through, async dht => {
    const key = await generateKeyPairFromSeed('Ed25519', bytes(seed))
    const record = marshalIPNSRecord(await createIPNSRecord(key, value, sequence, 3600_000, { v1Compatible: v1 }))
    const routingKey = multihashToIPNSRoutingKey(key.publicKey.toMultihash())
    const events = await all(dht.put(routingKey, record, limit()))
    const kept = events.filter(event => event.name === 'PEER_RESPONSE' && event.messageName === 'PUT_VALUE')
    const failed = events.filter(event => event.name === 'QUERY_ERROR')
    return {
      key: hex(routingKey),
      record: hex(record),
      kept: kept.map(event => event.from.toString()),
      failed: failed.map(event => event.from.toString())
    }
  }),

  // Introduce all of the swarm to a server.
  introduce: async ({ to }) => {
    await Promise.all(nodes.map(node => meet(node, to)))
    return {}
  }
}

const nodes = await Promise.all(Array.from({ length: Number(process.argv[2]) }, () => start()))
const addresses = nodes.map(node => node.getMultiaddrs()[0].toString())
for (const [number, node] of nodes.entries()) {
  await Promise.all(addresses.slice(0, number).map(address => meet(node, address)))
}
console.log(JSON.stringify({ servers: addresses }))
for await (const line of createInterface({ input: process.stdin })) {
  const { do: name, ...given } = JSON.parse(line)
  try {
    console.log(JSON.stringify(await functions[name](given)))
  } catch (error) {
    console.log(JSON.stringify({ error: String(error) }))
  }
}
process.exit(0)
