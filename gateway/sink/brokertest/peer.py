# An AMQP 1.0 server whose answers are those that its clients must understand. The address says
# which. It writes the ids of the messages that it accepts to a file.
import sys
from proton import Condition, Delivery, SSLDomain, Terminus
from proton.handlers import MessagingHandler
from proton.reactor import Container

port, folder, product = sys.argv[1:4]
REFUSALS = {"unauthorized": "amqp:unauthorized-access", "missing": "amqp:not-found"}


class Server(MessagingHandler):
    def __init__(self):
        super().__init__(prefetch=0, auto_accept=False, auto_settle=False)
        self.seen = {}

    def on_start(self, event):
        domain = event.container.ssl.server
        domain.set_credentials(folder + "/cert.pem", folder + "/key.pem", None)
        domain.set_trusted_ca_db(folder + "/ca.pem")
        domain.set_peer_authentication(SSLDomain.VERIFY_PEER, folder + "/ca.pem")
        event.container.listen("amqps://127.0.0.1:" + port)
        print("listening", flush=True)

    def on_connection_opening(self, event):
        event.connection.properties = {"product": product, "version": "1.2.3"}

    def on_link_opening(self, event):
        link = event.link
        link.source.copy(link.remote_source)
        link.target.copy(link.remote_target)
        if link.remote_target.address in REFUSALS:
            link.target.type = Terminus.UNSPECIFIED
        else:
            link.flow(1000)

    def on_link_local_open(self, event):
        link = event.link
        if link.remote_target.address in REFUSALS:
            link.condition = Condition(REFUSALS[link.remote_target.address], "because")
            link.close()

    def on_message(self, event):
        d, address, name = event.delivery, event.link.remote_target.address, event.message.id
        n = self.seen[address] = self.seen.get(address, 0) + 1
        if address == "released" and n in (3, 5):
            d.update(Delivery.RELEASED)
        elif address == "modified" and n in (3, 5):
            d.update(Delivery.MODIFIED)
        elif address == "full" and n in (3, 5):
            d.local.condition = Condition("amqp:resource-limit-exceeded", "too many")
            d.update(Delivery.REJECTED)
        elif address == "rejected" and name == "1.3":
            d.local.condition = Condition("amqp:decode-error", "not today")
            d.update(Delivery.REJECTED)
        elif address == "detached" and n == 3:
            event.link.condition = Condition("amqp:link:detach-forced", "moving")
            event.link.close()
            return
        else:
            with open(folder + "/accepted", "a") as f:
                f.write(name + "\n")
            d.update(Delivery.ACCEPTED)
        d.settle()


Container(Server()).run()
