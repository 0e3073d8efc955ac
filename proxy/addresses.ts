/**
 * Name to address for everything that this process dials itself (SPEC 4.6): a name is resolved once, every address it leads to is looked
 * at, and what was looked at is what is dialled. There is no second look-up in which a name could lead somewhere else.
 */
import type { LookupAddress } from 'node:dns';
import { lookup } from 'node:dns/promises';
import { isSpecialAddress } from '../policies/index.ts';

/** A name leads to an address that is not public, and nobody allowed that. Nothing was sent. */
class PrivateAddress extends Error {
  readonly code = 'PRIVATE_ADDRESS';
}

/** For `connect.lookup` of a connection pool: refuses a name of which any address is not public. */
export function publicLookup(name: string, options: object, done: (error: Error | null, addresses: LookupAddress[]) => void): void {
  lookup(name, { ...options, all: true }).then(
    (addresses) => {
      const special = addresses.find(({ address }) => isSpecialAddress(address));
      if (special) done(new PrivateAddress(`${name} leads to the private address ${special.address}`), []);
      else done(null, addresses);
    },
    (error: Error) => done(error, []),
  );
}
