// An ES module that answers every event with one of its own. The framework is there without being installed.
import {CloudEvent} from '@openfunction/functions-framework';

export const receive = event => {
  console.log(`received ${event.type} ${event.id}`);
  return new CloudEvent({type: 'org.example.received', data: {received: event.id}});
};
