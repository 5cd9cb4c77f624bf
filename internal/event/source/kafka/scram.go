package kafka

import (
	"github.com/IBM/sarama"
	"github.com/xdg-go/scram"
)

func scramSHA256() sarama.SCRAMClient { return &conversation{hash: scram.SHA256} }

func scramSHA512() sarama.SCRAMClient { return &conversation{hash: scram.SHA512} }

// conversation is one login.
type conversation struct {
	hash scram.HashGeneratorFcn
	talk *scram.ClientConversation
}

// Begin starts it.
func (c *conversation) Begin(user, password, authz string) error {
	client, err := c.hash.NewClient(user, password, authz)
	if err != nil {
		return err
	}
	c.talk = client.NewConversation()
	return nil
}

// Step answers a challenge.
func (c *conversation) Step(challenge string) (string, error) { return c.talk.Step(challenge) }

// Done tells whether it has ended.
func (c *conversation) Done() bool { return c.talk.Done() }
